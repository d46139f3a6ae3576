package dataplane

// Note is what happened with a frame beside its verdict. Each has a counter of its name;
// they do not add up to the number of frames.
type Note uint8

// The notes.
const (
	// Answered: the frame was turned round into an answer. It is counted as dropped for
	// its reason, too.
	Answered Note = iota
	// AnswerLimited: the frame deserved an answer, and there had been too many.
	AnswerLimited
	// Notes is how many there are.
	Notes
)

var noteNames = [Notes]string{"answered", "answer_limited"}

// String is the note's name, which is also its counter's.
func (n Note) String() string { return noteNames[n] }
