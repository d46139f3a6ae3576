package ring

// owner says who has a frame. Every socket has two values of its own, since a
// frame that it lent the kernel for reception must not come back as transmitted,
// nor the other way round.
type owner uint8

const (
	ownerFree   owner = iota // on the free list
	ownerCaller              // received or allocated, not yet transmitted or freed
	ownerLimbo               // of a closed socket that the kernel may not have let go of
	ownerSocket              // first of the sockets' values
)

// maxSockets is how many sockets' values an owner has room for.
const maxSockets = (256 - int(ownerSocket)) / 2

// The frames lent to the kernel by the socket in a slot. Those for reception
// are on the fill ring, with the kernel, or on the RX ring; those for
// transmission on the TX ring, with the kernel, or on the completion ring.
func ownerReception(slot int) owner    { return ownerSocket + owner(2*slot) }
func ownerTransmission(slot int) owner { return ownerSocket + owner(2*slot) + 1 }

// frames is the account of the frames of a UMEM: an owner for each, and the
// free ones on a stack, so that the frame used last, which is still in the
// cache, is the next one used.
//
// Frames are named by number. A number that comes from outside is checked by
// owned, which every hand-over calls first.
type frames struct {
	owners []owner
	free   []uint32
	limbo  []limbo
}

func newFrames(n uint32) frames {
	f := frames{owners: make([]owner, n), free: make([]uint32, n)}
	for i := range f.free {
		f.free[i] = n - 1 - uint32(i) // frame 0 on top
	}
	return f
}

// owned tells whether a frame exists and belongs to o.
func (f *frames) owned(frame uint64, o owner) bool {
	return frame < uint64(len(f.owners)) && f.owners[frame] == o
}

// push makes a frame free. The caller has checked its owner.
func (f *frames) push(frame uint64) {
	f.owners[frame] = ownerFree
	f.free = append(f.free, uint32(frame)) // never grows: each frame is on it once
}

// pop takes a free frame for o.
func (f *frames) pop(o owner) (frame uint32, ok bool) {
	last := len(f.free) - 1
	if last < 0 {
		return 0, false
	}
	frame = f.free[last]
	f.free = f.free[:last]
	f.owners[frame] = o
	return frame, true
}
