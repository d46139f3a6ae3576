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
	// Fragmented: a packet was longer than the way out takes, and left in fragments.
	Fragmented
	// ChecksumCompleted: the packet had the partial checksum of a sender that leaves the
	// rest to its network card.
	ChecksumCompleted
	// TemplateFull: there was no room for a client's template. Its connection goes on
	// without persistence.
	TemplateFull
	// FragmentHeld: a later fragment came before its first one, and was held for a moment.
	FragmentHeld
	// Notes is how many there are.
	Notes
)

var noteNames = [Notes]string{
	"answered", "answer_limited", "fragmented", "checksum_completed", "template_full",
	"fragment_held",
}

// String is the note's name, which is also its counter's.
func (n Note) String() string { return noteNames[n] }
