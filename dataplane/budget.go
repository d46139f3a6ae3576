package dataplane

import (
	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/packet"
)

// answersPerSecond is how many answers a worker sends from one budget.
const answersPerSecond = 1000

// shares is how many groups of source prefixes there are, a power of two.
const shares = 1024

// budget bounds the answers of a second. A prefix may have as many as the budget has
// left for all others. So a prefix alone gets half of it, two a third each, and a newcomer
// always finds something. (Dynamic thresholds: Choudhury and Hahne, 1998.)
type budget struct {
	second affinity.Tick // counted from 1, so that the zero budget is none's
	left   uint16
	spent  [shares]share
}

// share is what one group of prefixes had in a second.
type share struct {
	second affinity.Tick
	n      uint16
}

// ask tells whether a group may have an answer now. It takes nothing yet.
func (b *budget) ask(group uint32, now affinity.Tick) bool {
	if second := now/affinity.TicksPerSecond + 1; second != b.second {
		b.second, b.left = second, answersPerSecond
	}
	s := &b.spent[group%shares]
	if s.second != b.second {
		*s = share{second: b.second}
	}
	return s.n < b.left
}

// take takes an answer for a group that asked this second.
func (b *budget) take(group uint32) {
	b.left--
	b.spent[group%shares].n++
}

// Clients of one prefix share what they get.
const (
	prefix4 = 0xffffff00         // 24 bits
	prefix6 = 0xffffffffffffffff // 64 bits, all of the first word
)

// group is the number of the group that a client's prefix is in. It is keyed by the
// tables' secret, so that nobody can choose whom to share with.
func (f *Forwarder) group(client packet.Addr) uint32 {
	prefix := packet.Addr{Hi: client.Hi & prefix6}
	if client.Is4() {
		prefix = packet.AddrFrom4(client.V4() & prefix4)
	}
	f.key.SetMark(prefix, 0)
	return uint32(f.tables.Templates.Hash(&f.key))
}
