package ring

import (
	"fmt"

	"github.com/xlvs/xlvs/ring/internal/abi"
)

// Account is who owns how many frames.
type Account struct {
	Free, Caller, Limbo, Sockets int
	err                          error
}

// Err tells of a contradiction.
func (a Account) Err() error { return a.err }

// Account counts the frames by owner, and compares the free list, limbo and the
// sockets' own counts with it.
func (u *UMEM) Account() (a Account) {
	var lent [256]int
	for _, o := range u.frames.owners {
		switch o {
		case ownerFree:
			a.Free++
		case ownerCaller:
			a.Caller++
		case ownerLimbo:
			a.Limbo++
		default:
			a.Sockets++
			lent[o]++
		}
	}
	note := func(format string, args ...any) { a.err = fmt.Errorf(format, args...) }
	seen := make(map[uint32]bool)
	for _, frame := range u.frames.free {
		if seen[frame] || u.frames.owners[frame] != ownerFree {
			note("frame %d on the free list: twice, or owned by %d", frame, u.frames.owners[frame])
		}
		seen[frame] = true
	}
	if len(seen) != a.Free {
		note("%d frames on the free list, %d are free", len(seen), a.Free)
	}
	limbo := 0
	for _, l := range u.frames.limbo {
		limbo += len(l.frames)
	}
	if limbo != a.Limbo {
		note("%d frames in limbo, %d owned by it", limbo, a.Limbo)
	}
	for slot, s := range u.sockets {
		var reception, inFlight int
		if s != nil {
			reception, inFlight = int(s.reception), int(s.inFlight)
		}
		if got := lent[ownerReception(slot)]; got != reception {
			note("slot %d: %d frames lent for reception, the socket says %d", slot, got, reception)
		}
		if got := lent[ownerTransmission(slot)]; got != inFlight {
			note("slot %d: %d frames in transmission, the socket says %d", slot, got, inFlight)
		}
	}
	return a
}

// ExpireLimbo is for tests at a UMEM's end.
func (u *UMEM) ExpireLimbo() { u.expireLimbo() }

// AutoModeOn is AutoMode on a stand-in for the kernel.
func AutoModeOn(k abi.Kernel, ifindexes ...int) (Mode, string, error) {
	return autoModeOn(k, ifindexes)
}
