package affinity

import "github.com/xlvs/xlvs/service"

// Entry is a copy of an entry as a lookup or an insertion saw it, and the way
// back to it: methods that change an entry take one, and do nothing if the slot
// has since been emptied. The zero Entry is none.
//
// It has four words and no more, so that the compiler keeps it in registers.
type Entry struct {
	bind, life uint64
	// ident is the slot's ident word, by which a successor is told apart.
	ident uint64
	// at is the slot's number, and atIPv6 for one of an IPv6 table.
	at uint32
}

// atIPv6 in Entry.at tells the table's family. A table has fewer slots.
const atIPv6 = 1 << 31

// slot is the slot's number in its table.
func (e *Entry) slot() uint32 { return e.at &^ atIPv6 }

// Valid reports whether e is an entry at all.
func (e *Entry) Valid() bool { return e.ident&statusMask == statusLive }

// IPv6 reports the entry's family.
func (e *Entry) IPv6() bool { return e.at&atIPv6 != 0 }

// Server is the real server that the entry is bound to.
func (e *Entry) Server() service.ID { return service.ID(e.bind) }

// State is a connection's state; StateNone for a template.
func (e *Entry) State() State { return State(e.life >> lifeState & maxState) }

// Flags are the entry's flags.
func (e *Entry) Flags() Flags { return Flags(e.life >> lifeFlags) }

// Expiry is when the entry expires, unless it is refreshed. A template that is
// held lives on beyond it.
func (e *Entry) Expiry() Tick { return Tick(e.life) }

// HasTemplate reports whether a connection was scheduled through a template.
func (e *Entry) HasTemplate() bool { return e.bind>>bindUpper != 0 }

// Holders is how many connections hold a template.
func (e *Entry) Holders() uint32 { return uint32(e.bind >> bindUpper) }

// template is the slot of a connection's template, if it has one.
func (e *Entry) template() uint32 { return uint32(e.bind>>bindUpper) - 1 }

// makeLife joins the fields of a life word. own and template are incarnations,
// of which the low ten bits are kept.
func makeLife(expiry Tick, state State, flags Flags, own, template uint64) uint64 {
	return uint64(expiry) | uint64(state)<<lifeState | uint64(flags)<<lifeFlags |
		own&lifeMask<<lifeOwn | template<<lifeTemplate
}

// incarnation returns the incarnation in an ident word.
func incarnation(ident uint64) uint64 { return ident & incarnationMask >> identIncarnation }

// owns reports whether a life word belongs to the incarnation of an ident word.
func owns(ident, life uint64) bool { return (life>>lifeOwn^ident>>identIncarnation)&lifeMask == 0 }

// expired reports whether a life word's time is over.
func expired(life uint64, now Tick) bool { return int32(Tick(life)-now) <= 0 }

// assured reports whether a life word has the Assured flag.
func assured(life uint64) bool { return life&(uint64(Assured)<<lifeFlags) != 0 }

// freed returns the ident word of the emptied slot: the next incarnation, free.
func freed(ident uint64) uint64 { return (ident + 1<<identIncarnation) & incarnationMask }

// late is by how much an expiry may be beyond the wanted one unwritten: readings of
// the clock on two threads differ by less.
const late = TicksPerSecond - 1

// settled reports whether an expiry need not be written to say that an entry lives
// on for timeout: it lags behind by less than a second, or an eighth of a short
// timeout. So a busy entry is written once a second, not once a packet.
func settled(life uint64, now, timeout Tick) bool {
	return now+timeout-Tick(life)+late < min(TicksPerSecond, (timeout+7)/8)+late
}
