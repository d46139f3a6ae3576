package affinity

import "github.com/xlvs/xlvs/service"

// Entry is a copy of an entry as a lookup or an insertion saw it, and the way
// back to it: methods that change an entry take one, and do nothing if the slot
// has since been emptied. The zero Entry is none.
type Entry struct {
	bind, life uint64
	// ident is the slot's ident word, by which a successor is told apart.
	ident uint64
	slot  uint32
	v6    bool
}

// Valid reports whether e is an entry at all.
func (e *Entry) Valid() bool { return e.ident&statusMask == statusLive }

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

// slack is how far an expiry may lag behind before a refresh writes it: a
// second, or an eighth of a short timeout. So a busy entry is written once a
// second, not once a packet.
func slack(timeout Tick) Tick { return min(TicksPerSecond, (timeout+7)/8) }
