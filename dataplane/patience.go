package dataplane

import "time"

// spinFor is how long a worker looks for a frame before it sleeps, if it is
// likely to come: about what it costs to fall asleep and to be woken. On a
// virtual machine the latter alone is tens of microseconds.
const spinFor = 50 * time.Microsecond

// patience is the choice of a worker that found no frame, to look again or to
// sleep. It takes the last frames as a sign: if they came faster than spinFor one
// by one, so may the next. A worker that has a trickle to carry, or nothing,
// sleeps at once.
type patience struct {
	now func() time.Duration // on a clock that never goes back

	last     time.Duration // when there were frames
	expected bool          // whether the next may come within spinFor
}

// found notes that there were n frames, 1 or more.
func (p *patience) found(n int) {
	now := p.now()
	p.expected = now-p.last < time.Duration(n)*spinFor
	p.last = now
}

// lasts tells a worker that found no frame to look again.
func (p *patience) lasts() bool {
	if !p.expected {
		return false
	}
	p.expected = p.now()-p.last < spinFor
	return p.expected
}
