package control

// sumWatch knows by the workers' counters whether frames come with partial checksums.
//
// One in 65,536 frames has a sound checksum that looks like a partial one: so a few among
// many are none.
type sumWatch struct {
	partial           bool
	completed, frames uint64
	sound             int // seconds in a row with frames, but without partial ones
}

const (
	// soundSeconds is how many such seconds it takes until senders are taken to be cured.
	soundSeconds = 5
	// leastPartial and onePartialIn are how many frames of a second must look partial.
	leastPartial, onePartialIn = 2, 256
)

// update takes in how many checksums were completed until now, and how many frames there
// were. It is called once a second.
func (w *sumWatch) update(completed, frames uint64) {
	looked, all := completed-w.completed, frames-w.frames
	w.completed, w.frames = completed, frames
	switch {
	case looked >= leastPartial && looked*onePartialIn >= all:
		w.partial, w.sound = true, 0
	case all > 0:
		w.sound++
		w.partial = w.partial && w.sound < soundSeconds
	}
}
