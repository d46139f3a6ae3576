package dataplane

import (
	"time"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/ring"
)

// A later fragment may come before its first one: networks reorder, and a network card that
// hashes ports sends the two to different queues. A worker holds a few for a moment, and asks
// again when a first fragment has told anybody where its packet goes.

const (
	// mostHeld is how many fragments a worker holds.
	mostHeld = 64
	// heldFor is how long it does, in ticks: at least one, less than two.
	heldFor = 2
	// heldPoll bounds the sleep of a worker that holds fragments: the first ones may come to
	// other workers.
	heldPoll = 5 * time.Millisecond
)

// held is no reason, and not counted: the frame is the worker's for a moment.
const held Reason = 0xff

// heldFrame is a fragment that waits for its first one.
type heldFrame struct {
	desc  ring.Desc
	since affinity.Tick
}

// hold keeps frame i of the batch, or drops it if there are too many.
func (w *Worker) hold(i int, d ring.Desc, now affinity.Tick) {
	since := now
	if w.again != nil {
		since = w.again[i].since
	}
	switch {
	case len(w.held) == cap(w.held):
		w.dropHeld(d)
	default:
		if w.again == nil {
			w.forwarder.counters.notes[FragmentHeld]++
		}
		w.held = append(w.held, heldFrame{d, since})
	}
}

// dropHeld gives up a fragment whose first one did not come.
func (w *Worker) dropHeld(d ring.Desc) {
	w.umem.Free(d)
	w.forwarder.counters.reasons[FragmentUnknown]++
}

// release asks again for the fragments that are held, in their order, if any first one was
// seen since, and drops those that were held for long enough. It reports whether there is
// anything to flush.
func (w *Worker) release(now affinity.Tick) bool {
	before := len(w.held)
	if before == 0 {
		return false
	}
	waiting := w.held
	w.held, w.spare = w.spare[:0], waiting
	if noted := w.forwarder.plane.noted.Load(); noted != w.noted {
		w.noted = noted
		for len(waiting) > 0 {
			n := min(len(waiting), len(w.descs))
			for i, h := range waiting[:n] {
				w.descs[i] = h.desc
			}
			w.again = waiting[:n]
			w.batch(0, w.descs[:n], now) // by which port they came is nothing to a fragment
			waiting = waiting[n:]
		}
		w.again = nil
		waiting, w.held, w.spare = w.held, w.spare[:0], w.held
	}
	for _, h := range waiting {
		if now-h.since >= heldFor {
			w.dropHeld(h.desc)
		} else {
			w.held = append(w.held, h)
		}
	}
	return len(w.held) < before
}
