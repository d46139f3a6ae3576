package pipeline

import (
	"math/rand/v2"

	"github.com/xlvs/xlvs/dataplane"
	"github.com/xlvs/xlvs/packet"
)

// freshMost is after how many new connections the director may forget them.
const freshMost = 1 << 18

// lookedMost is how many clients there are that are looked up and never open a
// connection.
const lookedMost = 1 << 22

// arrivals writes flows into frames, as a network card would, and knows which
// clients have come. Clients 0 to flows-1 are known; those behind come once.
type arrivals struct {
	frames []dataplane.Frame
	v6     bool
	mix    float64
	known  []uint32 // in the order in which their packets arrive
	room   uint32   // how many may be new before they have to be forgotten

	frame   int     // next of frames
	at      int     // next of known
	owed    float64 // share of a new connection that is due
	opened  uint32  // how many new connections were asked for since the last were forgotten
	looking bool    // the batch goes no further than a lookup: new clients are not to be seen again
	looked  uint32  // how many new clients were only looked up
}

func newArrivals(memory []byte, o Options) *arrivals {
	a := &arrivals{
		frames: newFrames(memory, o.IPv6, o.Size), v6: o.IPv6, mix: o.Mix,
		known: make([]uint32, o.Flows), room: freshRoom(o.Flows),
	}
	for i := range a.known {
		a.known[i] = uint32(i)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(a.known), func(i, j int) {
		a.known[i], a.known[j] = a.known[j], a.known[i]
	})
	return a
}

// freshRoom is how many new connections there may be beside flows known ones.
func freshRoom(flows int) uint32 { return uint32(min(max(flows, 4096), freshMost)) }

// next writes the next n packets. They come in frames that follow each other.
func (a *arrivals) next(n int) []dataplane.Frame {
	batch := a.batch(n)
	if a.mix == 0 {
		for i := range batch {
			setFlow(batch[i].Bytes(), a.v6, a.client(), packet.ACK)
		}
		return batch
	}
	for i := range batch {
		if a.owed += a.mix; a.owed >= 1 {
			a.owed--
			setFlow(batch[i].Bytes(), a.v6, a.newcomer(), packet.SYN)
		} else {
			setFlow(batch[i].Bytes(), a.v6, a.client(), packet.ACK)
		}
	}
	return batch
}

// newcomer is a client that nobody knows. Those whose packets end at the lookup are
// others than those that open a connection, lest the lines of these be in the cache.
func (a *arrivals) newcomer() uint32 {
	known := uint32(len(a.known))
	if a.looking {
		a.looked++
		return known + a.room + a.looked%lookedMost
	}
	a.opened++
	return known + a.opened%a.room
}

// batch is the next n frames, from the start again if too few follow.
func (a *arrivals) batch(n int) []dataplane.Frame {
	if a.frame+n > len(a.frames) {
		a.frame = 0
	}
	a.frame += n
	return a.frames[a.frame-n : a.frame]
}

// client is the known client whose packet comes next.
func (a *arrivals) client() uint32 {
	if a.at == len(a.known) {
		a.at = 0
	}
	a.at++
	return a.known[a.at-1]
}
