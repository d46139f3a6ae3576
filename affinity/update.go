package affinity

// Updated is what a packet did to its connection beside the state.
type Updated uint8

// The effects.
const (
	// Kept: it is there, and as well known as before.
	Kept Updated = iota
	// Gone: there was something to write, and the entry is no longer there.
	Gone
	// Became: this packet assured it. Its template is to be assured and held now.
	Became
)

// Update says that a packet of a connection came, and what it means: m says in which
// state it leaves the connection, t how long that lives then. Both are computed from
// the entry as it is when it is written, so that packets on two workers take effect one
// after the other. It writes only if something changed that matters, for the expiry a
// second or an eighth of the timeout.
//
// A connection is assured by the first packet that does not leave it in an opening state
// (IP_VS_CTPL_S_ASSURED), for UDP by its second packet. From then on its grade g rises with
// probability 2^-g when a packet that changes no state moves the expiry, so at most once a
// second: who is heard for some 15 seconds comes to Lasting, who sends two
// packets or two thousand at once does not.
//
// A reset may be forged. So an acknowledgement brings a TCP connection of grade 1 or more back
// from CLOSE, if m says so. One of grade 2 or more keeps the time that it had left in CLOSE, and
// when a SYN comes behind the reset.
func (c *Conns) Update(e *Entry, m *Moves, ev Event, now Tick, t *Timeouts) (State, Updated) {
	from := e.State()
	if from < NumStates && ev < MaxEvents {
		to := m[from][ev]
		if (to == from || to == StateNone) && settled(e.life, now, t[from]) &&
			(assured(e.life) || from.opening()) {
			return from, Kept
		}
	}
	return c.update(e, m, ev, now, t)
}

// update is the writing part of Update.
func (c *Conns) update(e *Entry, m *Moves, ev Event, now Tick, t *Timeouts) (State, Updated) {
	tb := c.of(e.IPv6())
	s := tb.slot(e.slot())
	for {
		old := s[life].Load()
		if !owns(e.ident, old) {
			return StateNone, Gone
		}
		// Read after life: see holdLocked.
		bound := s[bind].Load()
		next, from, to := move(e.ident, bound, old, m, ev, now, t)
		if from == to && uint32(next) != uint32(old) && assured(old) &&
			tb.rises(e, gradeOf(old), now, t[to%NumStates]) {
			next += 1 << lifeGrade
		}
		if next != old && !s[life].CompareAndSwap(old, next) {
			continue
		}
		e.life = next
		c.servers.move(e.Server().Number(), from, to)
		if assured(next) && !assured(old) {
			return to, Became
		}
		return to, Kept
	}
}

// move returns the life word of an entry after a packet that does not raise the grade of one
// that is assured, and the states before and after.
func move(id, bound, old uint64, m *Moves, ev Event, now Tick, t *Timeouts) (
	next uint64, from, to State,
) {
	from = stateOf(id, old)
	to = from
	if from < NumStates && ev < MaxEvents && m[from][ev] != StateNone {
		to = m[from][ev]
	}
	grade := gradeOf(old)
	if from == StateTCPClose && to == StateTCPEstablished && grade == Unassured {
		to = from
	}
	timeout := t[to%NumStates]
	expiry := Tick(old)
	if from != to || !settled(old, now, timeout) {
		expiry = renewed(now, timeout)
		// A reset may be forged, and so may a SYN behind it.
		forgeable := to == StateTCPClose || to == StateTCPSynRecv
		if forgeable && grade > Assured && Tick(old).After(expiry) {
			expiry = Tick(old)
		}
	}
	if grade == Unassured && !to.opening() {
		grade = Assured
	}
	next = old&^(1<<32-1|stateMask<<lifeState|uint64(MaxGrade)<<lifeGrade) |
		uint64(expiry) | uint64(to&stateMask)<<lifeState | uint64(grade)<<lifeGrade
	if to == StateTCPClose && from != to && bound>>bindUpper == 0 {
		next = next&(1<<lifeOther-1) | second(now)<<lifeOther
	}
	return next, from, to
}

// rises draws whether the grade of an entry rises: with probability 2^-grade, or less if
// its expiry is written more often than once a second. The draw is a function of the entry's
// hash and ident word and of the time, so that the express lane and a worker agree. The
// hash is keyed: nobody outside can foresee a draw, or make those of many entries equal.
func (t *table) rises(e *Entry, grade Grade, now, timeout Tick) bool {
	if grade >= MaxGrade {
		return false
	}
	k := t.key(e.slot(), e.ident)
	mixed := uint32(t.secret.conn(&k)) ^ uint32(e.ident>>32) ^ uint32(e.ident)
	draw := scatter(mixed + uint32(now)*0x9e3779b1)
	return uint64(draw) < (1<<32>>grade)*uint64(step(timeout))/TicksPerSecond
}
