package ringtest

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/ring/internal/abi"
)

// Why a frame was not delivered.
var (
	ErrNoSocket = errors.New("no socket on the queue")
	ErrLinkDown = errors.New("link is down")
	ErrTooLong  = errors.New("longer than a frame of the UMEM")
	ErrNoFrame  = errors.New("fill ring is empty")
	ErrRingFull = errors.New("RX ring is full")
	ErrAsleep   = errors.New("driver waits for a wake-up")
)

// NIC is an interface of a Kernel.
type NIC struct {
	kernel  *Kernel
	ifindex int

	// Guarded by kernel.mu.
	driver   string
	zeroCopy bool
	up       bool
	busy     bool   // zero copy: the driver is at work and wants no kicks
	limit    uint32 // descriptors that it takes per kick; 0 is no limit
	late     bool   // completions wait for Complete
	drop     bool   // the driver drops frames: EBUSY
	lying    bool   // the driver tells every descriptor twice
	bare     bool   // descriptors are moved, nothing else is done: for benchmarks
	masked   bool   // received frames wait for a busy poll, as without interrupts
	waiting  map[uint32][][]byte
	kicks    int
	sent     [][][]byte // by queue
}

// SetDriver names the NIC's driver and tells whether it can do zero copy.
func (n *NIC) SetDriver(driver string, zeroCopy bool) {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	n.driver, n.zeroCopy = driver, zeroCopy
}

// SetUp sets the link up or down.
func (n *NIC) SetUp(up bool) {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	n.up = up
}

// SetLimit makes the NIC take n descriptors per kick at most; 0 is no limit.
func (n *NIC) SetLimit(frames uint32) {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	n.limit = frames
}

// SetStuck makes the NIC take nothing at all, or again.
func (n *NIC) SetStuck(stuck bool) {
	n.SetLimit(0)
	if stuck {
		n.SetLimit(stuckLimit)
	}
}

const stuckLimit = ^uint32(0)

// SetDrop makes the NIC drop every frame, as one without carrier does: the
// kernel takes one frame a call and says EBUSY.
func (n *NIC) SetDrop(drop bool) {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	n.drop = drop
}

// SetLying makes the NIC's driver a broken one: it publishes every frame that it
// receives twice, and completes every frame that it sends twice.
func (n *NIC) SetLying(lying bool) {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	n.lying = lying
}

// SetLate makes completions wait for Complete, or not any more.
func (n *NIC) SetLate(late bool) {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	n.late = late
}

// SetBusy makes a zero-copy NIC be at work: it wants no kicks, and takes what is
// on the TX rings with Step.
func (n *NIC) SetBusy(busy bool) {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	n.busy = busy
	for _, s := range n.kernel.sockets {
		if s.nic == n && s.zero {
			s.tx.SetNeedWakeup(!busy)
		}
	}
}

// Step makes the driver of a zero-copy NIC do its work once.
func (n *NIC) Step() {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	for _, s := range n.kernel.sockets {
		if s.nic == n {
			n.kernel.transmit(s, s.tx.Size())
		}
	}
}

// Delete takes the interface away under its sockets.
func (n *NIC) Delete() {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	delete(n.kernel.nics, n.ifindex)
	for _, s := range n.kernel.sockets {
		if s.nic == n {
			s.nic = nil
			s.notify()
		}
	}
}

// Kicks is how often user space asked for transmission.
func (n *NIC) Kicks() int {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	return n.kicks
}

// Deliver receives a frame on a queue. The error tells why it is lost.
func (n *NIC) Deliver(queue uint32, frame []byte) error {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	s := n.kernel.on(n.ifindex, queue)
	if s == nil {
		return ErrNoSocket
	}
	if !n.up {
		return ErrLinkDown
	}
	if s.asleep {
		return ErrAsleep
	}
	if n.masked {
		n.waiting[queue] = append(n.waiting[queue], slices.Clone(frame))
		return nil
	}
	return n.receive(s, frame)
}

// SetMasked makes frames wait until a socket with busy polling looks, as they do
// on an interface whose interrupts are held back.
func (n *NIC) SetMasked(masked bool) {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	n.masked, n.waiting = masked, map[uint32][][]byte{}
}

// poll is a busy poll of a queue. kernel.mu is held.
func (n *NIC) poll(queue uint32) {
	s := n.kernel.on(n.ifindex, queue)
	for _, frame := range n.waiting[queue] {
		_ = n.receive(s, frame)
	}
	delete(n.waiting, queue)
}

// receive puts a frame on a socket's RX ring. kernel.mu is held.
func (n *NIC) receive(s *socket, frame []byte) error {
	start := unix.XDP_PACKET_HEADROOM + s.umem.headroom
	if len(frame) > int(s.umem.frameSize-start) {
		s.stats.Rx_dropped++
		return ErrTooLong
	}
	if s.fill.Ready(1) == 0 {
		s.stats.Rx_dropped++
		s.stats.Rx_fill_ring_empty_descs++
		if s.zero {
			s.asleep = true
			s.fill.SetNeedWakeup(true)
		}
		return ErrNoFrame
	}
	if s.rx.Reserve(1) == 0 {
		s.stats.Rx_ring_full++
		return ErrRingFull
	}
	addr := s.fill.At(0)
	s.fill.Release(1)
	if !n.kernel.inside(s.umem, addr, 0) {
		s.stats.Rx_invalid_descs++
		n.kernel.violatef("fill ring: address %#x", addr)
		return ErrNoFrame
	}
	if _, lent := s.umem.lent[addr/uint64(s.umem.frameSize)]; lent {
		n.kernel.violatef("fill ring: frame at %#x is in transmission", addr)
	}
	addr += uint64(start)
	copy(s.umem.mem[addr:], frame)
	for range s.rx.Reserve(n.times()) {
		s.rx.Set(0, abi.Desc{Addr: addr, Len: uint32(len(frame))})
		s.rx.Publish(1)
	}
	s.notify()
	return nil
}

// SetBare makes the NIC move descriptors and do nothing else, no copies and no
// account: for benchmarks. Sent stays empty.
func (n *NIC) SetBare(bare bool) {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	n.bare = bare
}

// DeliverBare receives up to count frames of length bytes, with the contents
// that the memory happens to have, and returns how many.
func (n *NIC) DeliverBare(queue uint32, count int, length uint32) int {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	s := n.kernel.on(n.ifindex, queue)
	if s == nil {
		return 0
	}
	got := s.rx.Reserve(s.fill.Ready(uint32(count)))
	start := uint64(unix.XDP_PACKET_HEADROOM + s.umem.headroom)
	for i := range got {
		s.rx.Set(i, abi.Desc{Addr: s.fill.At(i) + start, Len: length})
	}
	s.fill.Release(got)
	s.rx.Publish(got)
	return int(got)
}

// transmitBare completes everything on the TX ring.
func (s *socket) transmitBare() {
	got := s.completion.Reserve(s.tx.Ready(s.tx.Size()))
	for i := range got {
		s.completion.Set(i, s.tx.At(i).Addr)
	}
	s.tx.Release(got)
	s.completion.Publish(got)
}

// times is how often the driver tells a descriptor.
func (n *NIC) times() uint32 {
	if n.lying {
		return 2
	}
	return 1
}

// Sent takes the frames that went out on a queue, in order.
func (n *NIC) Sent(queue uint32) [][]byte {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	sent := n.sent[queue]
	n.sent[queue] = nil
	return sent
}

// Complete tells the completion of up to max frames per queue that were sent.
func (n *NIC) Complete(max int) {
	n.kernel.mu.Lock()
	defer n.kernel.mu.Unlock()
	for _, s := range n.kernel.sockets {
		if s.nic == n {
			n.kernel.complete(s, max)
		}
	}
}

// inside tells whether length bytes at addr are within one frame. k.mu is held.
func (k *Kernel) inside(u *umem, addr uint64, length uint32) bool {
	size := uint64(u.frameSize)
	return addr < uint64(len(u.mem)) && addr%size+uint64(length) <= size
}

// transmit is xsk_generic_xmit: at most max descriptors. k.mu is held.
func (k *Kernel) transmit(s *socket, max uint32) unix.Errno {
	n := s.nic
	if n.bare {
		s.transmitBare()
		return 0
	}
	if n.limit == stuckLimit {
		max = 0
	} else if n.limit > 0 && n.limit < max {
		max = n.limit
	}
	taken := uint32(0)
	for ; s.tx.Ready(1) > 0; taken++ {
		if taken == max || s.completion.Reserve(s.completion.Size()) <= uint32(len(s.sent)) {
			return unix.EAGAIN
		}
		d := s.tx.At(0)
		s.tx.Release(1)
		if !k.inside(s.umem, d.Addr, d.Len) || d.Len == 0 {
			s.stats.Tx_invalid_descs++
			k.violatef("TX ring: %d bytes at %#x", d.Len, d.Addr)
			continue
		}
		frame := d.Addr / uint64(s.umem.frameSize)
		if _, lent := s.umem.lent[frame]; lent {
			k.violatef("TX ring: frame at %#x is in transmission", d.Addr)
		}
		s.umem.lent[frame] = s
		s.sent = append(s.sent, d.Addr)
		if n.drop {
			k.completeUnlessLate(s)
			return unix.EBUSY
		}
		data := s.umem.mem[d.Addr : d.Addr+uint64(d.Len)]
		n.sent[s.queue] = append(n.sent[s.queue], append([]byte(nil), data...))
		k.completeUnlessLate(s)
	}
	if taken == 0 {
		s.stats.Tx_ring_empty_descs++
	}
	return 0
}

func (k *Kernel) completeUnlessLate(s *socket) {
	if !s.nic.late {
		k.complete(s, len(s.sent))
	}
}

// complete puts sent frames on the completion ring. k.mu is held.
func (k *Kernel) complete(s *socket, max int) {
	n := s.completion.Reserve(uint32(min(max, len(s.sent))))
	for _, addr := range s.sent[:n] {
		delete(s.umem.lent, addr/uint64(s.umem.frameSize))
		for range s.completion.Reserve(s.nic.times()) {
			s.completion.Set(0, addr)
			s.completion.Publish(1)
		}
	}
	s.sent = s.sent[:copy(s.sent, s.sent[n:])]
}
