package ring

import "time"

// After close(2) the kernel takes a socket down in its own time. In zero-copy
// mode the interface may go on writing into the frames that it was lent until
// the driver has been told (xp_release_deferred in net/xdp/xsk_buff_pool.c);
// in copy mode a frame on its way out may still be read, by drivers that send
// straight from the UMEM's pages (IFF_TX_SKB_NO_LINEAR). Such frames are not
// free yet: they are in limbo until the queue has been bound anew, which the
// kernel grants only when it is done with the old socket, or for limboDuration.
// Who is short of frames looks whether that is over.

// limbo is the frames of one closed socket.
type limbo struct {
	frames  []uint32
	ifindex int
	queue   uint32
	until   time.Time
}

// takeBack frees the frames that a closed socket held, or puts them in limbo,
// and forgets the socket.
func (u *UMEM) takeBack(s *Socket) {
	reception, transmission := ownerReception(s.slot), ownerTransmission(s.slot)
	l := limbo{ifindex: s.config.Interface, queue: s.config.Queue, until: u.kernel.Now().Add(limboDuration)}
	for frame, o := range u.frames.owners {
		switch {
		case o == transmission, o == reception && s.mode == ZeroCopy:
			u.frames.owners[frame] = ownerLimbo
			l.frames = append(l.frames, uint32(frame))
		case o == reception:
			u.frames.push(uint64(frame))
		}
	}
	if l.frames != nil {
		u.frames.limbo = append(u.frames.limbo, l)
	}
	s.reception, s.inFlight = 0, 0
	if u.sockets[s.slot] != s {
		return // it never got there
	}
	u.sockets[s.slot], u.mode = nil, Auto
	for _, other := range u.sockets {
		if other != nil && !other.dead {
			u.mode = other.mode
		}
	}
}

// releaseLimbo frees the frames of a queue's former sockets.
func (u *UMEM) releaseLimbo(ifindex int, queue uint32) {
	u.filterLimbo(func(l *limbo) bool { return l.ifindex == ifindex && l.queue == queue })
}

// expireLimbo frees the frames that were in limbo long enough.
func (u *UMEM) expireLimbo() {
	if len(u.frames.limbo) == 0 {
		return
	}
	now := u.kernel.Now()
	u.filterLimbo(func(l *limbo) bool { return now.After(l.until) })
}

func (u *UMEM) filterLimbo(release func(*limbo) bool) {
	kept := u.frames.limbo[:0]
	for i := range u.frames.limbo {
		l := &u.frames.limbo[i]
		if !release(l) {
			kept = append(kept, *l)
			continue
		}
		for _, frame := range l.frames {
			u.frames.push(uint64(frame))
		}
	}
	u.frames.limbo = kept
}
