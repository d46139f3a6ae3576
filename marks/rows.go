package marks

import (
	"encoding/binary"
	"math/bits"
)

// wordBits is how many rules one word of a row tells of.
const wordBits = 64

// bitset is a set of rules by index; rules of one Compile have bitsets of one length.
type bitset []uint64

func (b bitset) add(rule int)    { b[rule/wordBits] |= 1 << (rule % wordBits) }
func (b bitset) remove(rule int) { b[rule/wordBits] &^= 1 << (rule % wordBits) }

func (b bitset) union(other bitset) {
	for i, w := range other {
		b[i] |= w
	}
}

// rows holds sets of rules, each once.
type rows struct {
	// width is how many words a row has, 1 to 64.
	width int
	// words are the rows one after another.
	words []uint64
	// sums has a word for each row: the row itself if it is one word wide,
	// otherwise which of its words are not zero, bit by bit.
	sums []uint64

	known map[string]uint32 // number of the row with these bytes; only while compiling
}

func newRows(rules int) rows {
	return rows{width: (rules + wordBits - 1) / wordBits, known: map[string]uint32{}}
}

func (r *rows) newSet() bitset { return make(bitset, r.width) }

// number returns the number of the row that is equal to set, which it adds if
// there is none yet.
func (r *rows) number(set bitset) uint32 {
	key := make([]byte, 0, MaxRules/8)
	for _, w := range set {
		key = binary.LittleEndian.AppendUint64(key, w)
	}
	if n, ok := r.known[string(key)]; ok {
		return n
	}
	n := uint32(len(r.sums))
	r.known[string(key)] = n
	r.words = append(r.words, set...)
	r.sums = append(r.sums, summary(set))
	return n
}

func summary(set bitset) uint64 {
	if len(set) == 1 {
		return set[0]
	}
	var s uint64
	for i, w := range set {
		if w != 0 {
			s |= 1 << i
		}
	}
	return s
}

// first returns the first rule that is in all the rows, -1 if there is none.
// sums is the conjunction of their sums.
func (r *rows) first(sums uint64, numbers []uint32) int {
	if r.width == 1 {
		if sums == 0 {
			return -1
		}
		return bits.TrailingZeros64(sums)
	}
	for ; sums != 0; sums &= sums - 1 {
		at := bits.TrailingZeros64(sums)
		word := ^uint64(0)
		for _, n := range numbers {
			word &= r.words[int(n)*r.width+at]
		}
		if word != 0 {
			return at*wordBits + bits.TrailingZeros64(word)
		}
	}
	return -1
}
