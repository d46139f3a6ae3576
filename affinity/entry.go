package affinity

import (
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

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

// protocol is the protocol in the entry's key.
func (e *Entry) protocol() packet.Protocol { return packet.Protocol(e.ident >> identProtocol) }

// State is a connection's state.
func (e *Entry) State() State { return stateOf(e.ident, e.life) }

// Grade is how well the entry is known.
func (e *Entry) Grade() Grade { return gradeOf(e.life) }

// Assured reports whether the client answered, or came back.
func (e *Entry) Assured() bool { return assured(e.life) }

// Expiry is when the entry expires, unless it is refreshed. A template that is
// held lives on beyond it.
func (e *Entry) Expiry() Tick { return Tick(e.life) }

// HasTemplate reports whether a connection holds a template.
func (e *Entry) HasTemplate() bool {
	return e.bind>>bindUpper != 0 && e.protocol() != protocolFragment
}

// Holders is how many connections hold a template.
func (e *Entry) Holders() uint32 { return uint32(e.bind >> bindUpper) }

// other is the slot that a connection or a fragment names: of its template, or of its
// connection.
func (e *Entry) other() uint32 { return uint32(e.bind>>bindUpper) - 1 }

// ClosedFor returns how many seconds ago a TCP connection in CLOSE was closed, mod 1024,
// if it is one and holds no template.
func (e *Entry) ClosedFor(now Tick) (seconds uint32, ok bool) {
	if e.State() != StateTCPClose || e.HasTemplate() {
		return 0, false
	}
	seconds = uint32(second(now)-e.life>>lifeOther) & lifeMask
	if seconds == lifeMask { // another worker's clock was ahead
		seconds = 0
	}
	return seconds, true
}

// second is the time that a connection in CLOSE remembers.
func second(now Tick) uint64 { return uint64(now/TicksPerSecond) & lifeMask }

// makeLife joins the fields of a life word that a new entry begins with. other is an
// incarnation, of which the low ten bits are kept.
func makeLife(expiry Tick, state State, grade Grade, other uint64) uint64 {
	return uint64(expiry) | uint64(state&stateMask)<<lifeState |
		uint64(grade)<<lifeGrade | other<<lifeOther
}

// gradeOf returns the grade in a life word.
func gradeOf(life uint64) Grade { return Grade(life>>lifeGrade) & MaxGrade }

// incarnation returns the incarnation in an ident word.
func incarnation(ident uint64) uint64 { return ident & incarnationMask >> identIncarnation }

// owns reports whether a life word belongs to the incarnation of an ident word.
func owns(ident, life uint64) bool { return (life>>lifeOwn^ident>>identIncarnation)&lifeMask == 0 }

// expired reports whether a life word's time is over.
func expired(life uint64, now Tick) bool { return int32(Tick(life)-now) <= 0 }

// assured reports whether a life word has a grade above 0.
func assured(life uint64) bool { return life&(uint64(MaxGrade)<<lifeGrade) != 0 }

// freed returns the ident word of the emptied slot: the next incarnation, free.
func freed(ident uint64) uint64 { return (ident + 1<<identIncarnation) & incarnationMask }

// late is by how much an expiry may be beyond the wanted one unwritten: readings of
// the clock on two threads differ by less.
const late = TicksPerSecond - 1

// step is by how much an expiry may lag behind unwritten: less than a second, or an
// eighth of a short timeout. So a busy entry is written once a second, not once a packet.
func step(timeout Tick) Tick { return min(TicksPerSecond, (timeout+7)/8) }

// Settled reports whether nothing is to be written for a packet that leaves the entry in
// its state, in which it is to live on for timeout: Update would find nothing to do.
func (e *Entry) Settled(now, timeout Tick) bool {
	return assured(e.life) && settled(e.life, now, timeout)
}

// renewed is the expiry to write for an entry that is to live on for timeout. It is
// late by what the next ones may lag behind, so that no entry ends early.
func renewed(now, timeout Tick) Tick { return now + timeout + step(timeout) - 1 }

// settled reports whether an expiry need not be written to say that an entry lives
// on for timeout.
func settled(life uint64, now, timeout Tick) bool {
	return renewed(now, timeout)-Tick(life)+late < step(timeout)+late
}
