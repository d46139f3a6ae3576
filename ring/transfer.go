package ring

import (
	"golang.org/x/sys/unix"
)

// Receive takes up to len(dst) received frames and returns how many. They are
// the caller's now. It asks nothing of the kernel.
func (s *Socket) Receive(dst []Desc) int {
	if s.dead {
		return 0
	}
	n := s.rx.Ready(uint32(len(dst)))
	if n == 0 {
		return 0
	}
	u, lent := s.umem, ownerReception(s.slot)
	got := 0
	for i := range n {
		d := s.rx.At(i)
		frame := u.frame(d.Addr)
		if !u.frames.owned(frame, lent) {
			continue
		}
		u.frames.owners[frame] = ownerCaller
		dst[got] = d
		got++
	}
	s.rx.Release(n)
	s.reception -= uint32(got)
	s.counters.received.add(uint64(got))
	if foreign := int(n) - got; foreign > 0 {
		s.counters.foreign.add(uint64(foreign))
	}
	return got
}

// Transmit puts frames of the caller's on the TX ring and returns how many of
// src, from the start, it took; the rest, for which there was no room, stay the
// caller's. The frames go out with Flush.
//
// A descriptor that is not of a frame of the caller's is refused: it counts as
// taken and UMEM.Refused counts it. So does one that cannot be sent, because it
// is shorter than an Ethernet header or leaves its frame; the frame is freed.
func (s *Socket) Transmit(src []Desc) int {
	if s.dead {
		return 0
	}
	n := s.tx.Reserve(uint32(len(src)))
	if n == 0 {
		s.counters.txFull.add(uint64(len(src)))
		return 0
	}
	u, lent := s.umem, ownerTransmission(s.slot)
	put := uint32(0)
	for _, d := range src[:n] {
		frame := u.frame(d.Addr)
		if !u.frames.owned(frame, ownerCaller) {
			continue
		}
		if d.Len < ethernetHeader || !u.fits(d) {
			u.frames.push(frame)
			continue
		}
		u.frames.owners[frame] = lent
		s.tx.Set(put, Desc{Addr: d.Addr, Len: d.Len})
		put++
	}
	s.tx.Publish(put)
	s.inFlight += put
	s.counters.transmitted.add(uint64(put))
	if put < n {
		u.refused.add(uint64(n - put))
	}
	if left := len(src) - int(n); left > 0 {
		s.counters.txFull.add(uint64(left))
	}
	return int(n)
}

// Flush hands the kernel what Transmit queued, takes back the frames that have
// been sent, and lends free ones for reception. Call it once per batch on every
// socket of the UMEM, also when nothing was transmitted.
//
// In the copy modes it calls the kernel until that has taken every descriptor,
// or takes no more for now; what is left goes with the next Flush, and a Waiter
// does not sleep on it. An error wraps ErrDown.
func (s *Socket) Flush() error {
	if s.dead {
		return s.down
	}
	err := s.kick()
	s.reap()
	s.refill()
	if err == nil && (s.busyPoll.on() || s.fill.NeedWakeup()) {
		err = s.wake()
	}
	return err
}

// kick makes the kernel look at the TX ring if there is something on it and the
// kernel wants to be told. A full ring is always told of: in copy mode nobody
// else would empty it.
func (s *Socket) kick() error {
	if s.inFlight == 0 {
		return nil
	}
	pending := s.tx.Outstanding()
	if pending == 0 {
		return nil
	}
	if !s.tx.NeedWakeup() && pending < s.tx.Size() {
		s.counters.kicksSuppressed.add(1)
		return nil
	}
	return s.drain(pending)
}

const (
	// defaultTXBudget is TX_BATCH_SIZE of net/xdp/xsk.c: what a kernel sends in one
	// call unless told otherwise.
	defaultTXBudget = 32
	// spareKicks is how many kicks more than the budget calls for a Flush makes.
	spareKicks = 4
)

// drain kicks until pending descriptors are taken, the kernel stops taking
// any, or the kicks run out.
func (s *Socket) drain(pending uint32) error {
	for kicks := pending/s.budget + spareKicks; kicks > 0; kicks-- {
		s.counters.kicks.add(1)
		errno := s.umem.kernel.Kick(s.fd)
		switch classify(errno) {
		case again:
			continue
		case linkDown, dead:
			return s.fail("sendto", errno)
		}
		if s.mode == ZeroCopy {
			return nil // the driver takes them in its own time
		}
		left := s.tx.Outstanding()
		if left == 0 {
			return nil
		}
		s.counters.txBusy.add(1)
		// EBUSY has taken a frame, but the index may be late to tell.
		progress := left < pending || errno == unix.EBUSY
		if s.reap() == 0 && !progress {
			return nil
		}
		pending = left
	}
	return nil
}

// wake makes the driver look at the fill ring.
func (s *Socket) wake() error {
	s.counters.wakeups.add(1)
	errno := s.umem.kernel.Wake(s.fd)
	switch classify(errno) {
	case linkDown, dead:
		return s.fail("recvfrom", errno)
	}
	return nil
}

// reap frees the frames that the kernel has sent.
func (s *Socket) reap() (n uint32) {
	n = s.completion.Ready(s.completion.Size())
	if n == 0 {
		return 0
	}
	u, lent := s.umem, ownerTransmission(s.slot)
	got := uint32(0)
	for i := range n {
		frame := u.frame(s.completion.At(i))
		if !u.frames.owned(frame, lent) {
			continue
		}
		u.frames.push(frame)
		got++
	}
	s.completion.Release(n)
	s.inFlight -= got
	s.counters.completed.add(uint64(got))
	if got < n {
		s.counters.foreign.add(uint64(n - got))
	}
	return n
}

// refill lends free frames to the kernel until it has config.Fill of them for
// reception, those on the RX ring included: a socket that is not read from
// cannot starve the others of the UMEM.
func (s *Socket) refill() {
	u := s.umem
	want := s.config.Fill - s.reception
	if want > uint32(len(u.frames.free)) && len(u.frames.limbo) > 0 {
		u.expireLimbo()
	}
	n := s.fill.Reserve(min(want, uint32(len(u.frames.free))))
	if n == 0 {
		return
	}
	lent := ownerReception(s.slot)
	free := u.frames.free
	for i := range n {
		frame := free[uint32(len(free))-1-i]
		u.frames.owners[frame] = lent
		s.fill.Set(i, uint64(frame)<<u.frameShift)
	}
	u.frames.free = free[:uint32(len(free))-n]
	s.fill.Publish(n)
	s.reception += n
}
