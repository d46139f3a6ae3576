package ringtest

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/ring/internal/abi"
)

// socket is the kernel's side of an AF_XDP socket. Its file descriptor is an
// eventfd, so that a process can really sleep on it. Kernel.mu guards it.
type socket struct {
	fd     int
	umem   *umem
	nic    *NIC // nil until bound, and again when the NIC is gone
	queue  uint32
	zero   bool
	budget uint32
	polled bool // it has busy polling on
	asleep bool // zero copy: found the fill ring empty and waits for Wake

	sizes [4]uint32
	mem   [4][]byte
	ends  bool // the four ends are there

	fill       abi.Consumer[uint64]
	completion abi.Producer[uint64]
	rx         abi.Producer[abi.Desc]
	tx         abi.Consumer[abi.Desc]

	sent  []uint64 // transmitted, completion not told yet
	stats unix.XDPStatistics
}

// umem is the kernel's account of a UMEM: who has been lent each frame.
type umem struct {
	mem                 []byte
	frameSize, headroom uint32
	zero                bool
	lent                map[uint64]*socket // by frame number, in transmission
}

// offsets is the layout of every ring here, like that of a 64-byte-line kernel.
var offsets = unix.XDPRingOffset{Producer: 0, Consumer: 128, Flags: 256, Desc: 320}

// Socket implements abi.Kernel.
func (k *Kernel) Socket() (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno := k.failing("Socket"); errno != 0 {
		return -1, errno
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return -1, err
	}
	k.sockets[fd] = &socket{fd: fd, budget: 32}
	return fd, nil
}

// Close implements abi.Kernel.
func (k *Kernel) Close(fd int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.sockets[fd]
	if !ok {
		return unix.EBADF
	}
	if s.umem != nil {
		for frame, by := range s.umem.lent {
			if by == s {
				delete(s.umem.lent, frame)
			}
		}
	}
	delete(k.sockets, fd)
	return unix.Close(fd)
}

// RegisterUMEM implements abi.Kernel.
func (k *Kernel) RegisterUMEM(fd int, mem []byte, frameSize, headroom uint32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno := k.failing("RegisterUMEM"); errno != 0 {
		return errno
	}
	s := k.sockets[fd]
	if s.umem != nil {
		return unix.EBUSY
	}
	s.umem = &umem{mem: mem, frameSize: frameSize, headroom: headroom, lent: make(map[uint64]*socket)}
	return nil
}

// SetRing implements abi.Kernel.
func (k *Kernel) SetRing(fd int, kind abi.RingKind, entries uint32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno := k.failing("SetRing"); errno != 0 {
		return errno
	}
	k.sockets[fd].sizes[kind] = entries
	return nil
}

// Offsets implements abi.Kernel.
func (k *Kernel) Offsets(int) ([4]unix.XDPRingOffset, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno := k.failing("Offsets"); errno != 0 {
		return [4]unix.XDPRingOffset{}, errno
	}
	return [4]unix.XDPRingOffset{offsets, offsets, offsets, offsets}, nil
}

// MapRing implements abi.Kernel.
func (k *Kernel) MapRing(fd int, kind abi.RingKind, length int) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno := k.failing("MapRing"); errno != 0 {
		return nil, errno
	}
	mem, err := k.mmap(length)
	if err != nil {
		return nil, err
	}
	binary.NativeEndian.PutUint32(mem[offsets.Producer:], k.firstIndex)
	binary.NativeEndian.PutUint32(mem[offsets.Consumer:], k.firstIndex)
	k.sockets[fd].mem[kind] = mem
	return mem, nil
}

// UnmapRing implements abi.Kernel.
func (k *Kernel) UnmapRing(mem []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.sockets {
		for kind := range s.mem {
			if s.mem[kind] != nil && &s.mem[kind][0] == &mem[0] {
				s.mem[kind], s.ends, s.nic = nil, false, nil // a mapping keeps the socket alive: the last is about to go
			}
		}
	}
	k.mappings--
	return unix.Munmap(mem)
}

// SetTXBudget implements abi.Kernel.
func (k *Kernel) SetTXBudget(fd int, frames uint32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.sockets[fd]
	switch {
	case k.noBudget:
		return unix.ENOPROTOOPT
	case frames < 32 || frames > s.sizes[abi.TX]:
		return unix.EACCES
	}
	s.budget = frames
	return nil
}

// SetBusyPoll implements abi.Kernel. A kernel that is old has no such options.
func (k *Kernel) SetBusyPoll(fd int, microseconds, budget uint32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno := k.failing("SetBusyPoll"); errno != 0 {
		return errno
	}
	k.sockets[fd].polled = microseconds > 0
	return nil
}

// SetSendBuffer implements abi.Kernel.
func (k *Kernel) SetSendBuffer(int, int) error { return nil }

// Bind implements abi.Kernel.
func (k *Kernel) Bind(fd, ifindex int, queue uint32, flags uint16, sharedFD int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno := k.failing("Bind"); errno != 0 {
		return errno
	}
	s, n := k.sockets[fd], k.nics[ifindex]
	if n == nil {
		return unix.ENODEV
	}
	if int(queue) >= len(n.sent) {
		return unix.EINVAL
	}
	zero := flags&unix.XDP_ZEROCOPY != 0
	if flags&unix.XDP_SHARED_UMEM != 0 {
		other := k.sockets[sharedFD]
		if flags != unix.XDP_SHARED_UMEM || s.umem != nil {
			return unix.EINVAL
		}
		if other == nil || other.nic == nil {
			return unix.EBADF
		}
		s.umem, zero = other.umem, other.umem.zero
	}
	if zero && !n.zeroCopy {
		return unix.EOPNOTSUPP
	}
	if k.on(ifindex, queue) != nil {
		return unix.EBUSY
	}
	if err := s.layEnds(); err != nil {
		return unix.EINVAL
	}
	if s.fill.Ready(1) == 0 {
		k.violatef("bind: fill ring is empty")
	}
	s.nic, s.queue, s.zero, s.umem.zero = n, queue, zero, zero
	s.tx.SetNeedWakeup(!n.busy)
	return nil
}

// layEnds lays the kernel's ends over the rings. Before bind the process has
// filled the fill ring already, from firstIndex on, so the consumer starts right.
func (s *socket) layEnds() (err error) {
	if s.fill, err = abi.NewConsumer[uint64](s.mem[abi.Fill], offsets, s.sizes[abi.Fill]); err != nil {
		return err
	}
	if s.completion, err = abi.NewProducer[uint64](s.mem[abi.Completion], offsets, s.sizes[abi.Completion]); err != nil {
		return err
	}
	if s.rx, err = abi.NewProducer[abi.Desc](s.mem[abi.RX], offsets, s.sizes[abi.RX]); err != nil {
		return err
	}
	s.tx, err = abi.NewConsumer[abi.Desc](s.mem[abi.TX], offsets, s.sizes[abi.TX])
	s.ends = err == nil
	return err
}

// ZeroCopy implements abi.Kernel.
func (k *Kernel) ZeroCopy(fd int) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno := k.failing("ZeroCopy"); errno != 0 {
		return false, errno
	}
	return k.sockets[fd].zero, nil
}

// Statistics implements abi.Kernel.
func (k *Kernel) Statistics(fd int) (unix.XDPStatistics, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.sockets[fd]
	if !ok {
		return unix.XDPStatistics{}, unix.EBADF
	}
	return s.stats, nil
}

// Kick implements abi.Kernel.
func (k *Kernel) Kick(fd int) unix.Errno {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno := k.failing("Kick"); errno != 0 {
		return errno
	}
	s := k.sockets[fd]
	if errno := s.usable(); errno != 0 {
		return errno
	}
	s.nic.kicks++
	if s.zero {
		if !s.nic.busy {
			k.transmit(s, s.tx.Size())
		}
		return 0
	}
	return k.transmit(s, s.budget)
}

// usable is xsk_check_common.
func (s *socket) usable() unix.Errno {
	switch {
	case s == nil:
		return unix.EBADF
	case s.nic == nil:
		return unix.ENXIO
	case !s.nic.up:
		return unix.ENETDOWN
	}
	return 0
}

// Wake implements abi.Kernel.
func (k *Kernel) Wake(fd int) unix.Errno {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno := k.failing("Wake"); errno != 0 {
		return errno
	}
	s := k.sockets[fd]
	if errno := s.usable(); errno != 0 {
		return errno
	}
	s.wakeReception()
	if s.polled {
		s.nic.poll(s.queue)
	}
	return 0
}

func (s *socket) wakeReception() {
	if s.asleep && s.fill.Ready(1) > 0 {
		s.asleep = false
		s.fill.SetNeedWakeup(false)
	}
}

// Poll implements abi.Kernel. Like the kernel's it drives transmission, and
// tells nothing of a socket that is unusable.
func (k *Kernel) Poll(fds []unix.PollFd, timeout time.Duration) unix.Errno {
	deadline := time.Now().Add(timeout)
	for {
		ready := k.pollOnce(fds)
		left := time.Until(deadline)
		if timeout < 0 {
			left = time.Hour
		}
		if ready || left <= 0 {
			return 0
		}
		if errno := k.sleep(fds, left); errno != 0 {
			return errno
		}
		if timeout >= 0 && time.Until(deadline) <= 0 {
			k.pollOnce(fds)
			return 0
		}
	}
}

// sleep waits until something wants to be looked at. A socket of ours is an
// eventfd that is written when there is.
func (k *Kernel) sleep(fds []unix.PollFd, timeout time.Duration) unix.Errno {
	events := make([]unix.PollFd, len(fds))
	for i, fd := range fds {
		events[i] = unix.PollFd{Fd: fd.Fd, Events: unix.POLLIN}
	}
	errno := (abi.Linux{}).Poll(events, timeout)
	for _, fd := range events {
		if errno == 0 && fd.Revents != 0 {
			k.consumeEvent(int(fd.Fd))
		}
	}
	return errno
}

// pollOnce sets what is ready now.
func (k *Kernel) pollOnce(fds []unix.PollFd) (ready bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range fds {
		fd := &fds[i]
		s, ours := k.sockets[int(fd.Fd)]
		if !ours {
			if fd.Fd >= 0 {
				one := []unix.PollFd{{Fd: fd.Fd, Events: fd.Events}}
				if (abi.Linux{}).Poll(one, 0) == 0 {
					fd.Revents = one[0].Revents
				}
			} else {
				fd.Revents = 0
			}
		} else {
			fd.Revents = k.pollSocket(s) & fd.Events
		}
		ready = ready || fd.Revents != 0
	}
	return ready
}

func (k *Kernel) pollSocket(s *socket) (events int16) {
	if s.usable() != 0 {
		return 0
	}
	s.wakeReception()
	if !s.zero {
		k.transmit(s, s.budget)
	}
	if s.rx.Outstanding() > 0 {
		events |= unix.POLLIN
	}
	if s.tx.Ready(s.tx.Size()) <= s.tx.Size()/2 {
		events |= unix.POLLOUT
	}
	return events
}

// notify makes a Poll that sleeps on s look again. k.mu is held.
func (s *socket) notify() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(s.fd, one[:])
}

func (k *Kernel) consumeEvent(fd int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ours := k.sockets[fd]; ours {
		var count [8]byte
		_, _ = unix.Read(fd, count[:])
	}
}
