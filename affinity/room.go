package affinity

import (
	"math/bits"

	"github.com/xlvs/xlvs/service"
)

// patience is how many buckets makeRoom looks through for a better victim before
// it is content with the best so far.
const patience = 4

// tries is how often makeRoomAt looks for a victim, when others were faster.
const tries = 3

// searches is how many long searches of a tick must have found nothing that gives way more
// easily, before the others of that tick are content with what they would find.
const searches = 16

// victim is the entry that gives way so far.
type victim struct {
	Entry
	// rank tells who gives way first: the lower grade, then who was idle longer.
	rank uint64
}

// consider takes e for the victim if it gives way before the one so far.
func (v *victim) consider(t *table, e *Entry, now Tick) {
	rank := uint64(MaxGrade-gradeOf(e.life))<<32 | uint64(t.idle(e, now))
	if !v.Valid() || rank > v.rank {
		v.Entry, v.rank = *e, rank
	}
}

// makeRoom displaces one entry from the neighbourhood of home, whose lock the caller
// holds: the first expired one, or the one that gives way first. It is content with an
// unassured one from the first few buckets that have any. For one of a higher grade it looks
// through as many buckets as make it likely that the whole table has nothing lower;
// but a table that is full of such entries must not cost that walk for each
// packet of a flood, see contentment.
func (t *table) makeRoom(home uint32, b *uint32, now Tick) bool {
	content := t.contentment(now)
	var v victim
	for i := range t.reach {
		first := (home + i) % uint32(len(t.buckets)) * slotsPerBucket
		for n := first; n < first+slotsPerBucket; n++ {
			e, ok := t.candidate(n)
			switch {
			case !ok:
			case expired(e.life, now):
				if t.removeFrom(home, b, &e, due{now: now}) {
					t.expired.Add(1)
					return true
				}
			case gradeOf(e.life) < t.stays:
				v.consider(t, &e, now)
			}
		}
		if i%patience == patience-1 && v.Valid() && gradeOf(v.life) <= content {
			if t.displace(home, b, &v, now) {
				return true
			}
			v = victim{}
		}
	}
	if !v.Valid() || gradeOf(v.life) > content {
		t.searched(now)
	}
	return v.Valid() && t.displace(home, b, &v, now)
}

// makeRoomAt displaces one entry from a place that a new entry of key k may take: an
// expired one, or else the unassured one that was idle longest, or else the one of the
// same client port that gives way first. The caller holds the lock of home.
func (t *table) makeRoomAt(home uint32, b *uint32, k *Key, now Tick) bool {
	for range tries {
		var v victim
		for d := range probes {
			first := t.probe(home, d) * slotsPerBucket
			for n := first; n < first+slotsPerBucket; n++ {
				e, ok := t.candidate(n)
				switch {
				case !ok:
				case expired(e.life, now):
					if t.removeFrom(home, b, &e, due{now: now}) {
						t.expired.Add(1)
						return true
					}
				case !assured(e.life), gradeOf(e.life) < t.stays && t.sameSide(n, e.ident, k):
					v.consider(t, &e, now)
				}
			}
		}
		if !v.Valid() {
			return false
		}
		if t.displace(home, b, &v, now) {
			return true
		}
	}
	return false
}

// thin displaces an unassured connection of k's client port, the one that was idle longest,
// if there are as many as there may be. The caller holds the lock of home.
func (t *table) thin(home uint32, b *uint32, k *Key, now Tick) {
	var v victim
	count := 0
	for rest := *b & bucketProbes; rest != 0; rest &= rest - 1 {
		first := t.probe(home, bits.TrailingZeros32(rest)) * slotsPerBucket
		for n := first; n < first+slotsPerBucket; n++ {
			if e, ok := t.candidate(n); ok && !assured(e.life) && t.sameSide(n, e.ident, k) {
				v.consider(t, &e, now)
				count++
			}
		}
	}
	if count >= unassuredByPort {
		t.displace(home, b, &v, now)
	}
}

// candidate reads slot n, if it has an entry that is not kept by holders.
func (t *table) candidate(n uint32) (Entry, bool) {
	id := t.slot(n)[ident].Load()
	if id&statusMask != statusLive {
		return Entry{}, false
	}
	e, ok := t.entry(n, id)
	return e, ok && (t.templates != nil || e.Holders() == 0)
}

// sameSide reports whether slot n, whose ident word the caller has read, has the client's
// address, port and protocol of key k.
func (t *table) sameSide(n uint32, id uint64, k *Key) bool {
	if (id^k.ident)&identSide != 0 {
		return false
	}
	if !t.v6 {
		return (t.slot(n)[address].Load()^k.addr[0])>>32 == 0
	}
	l := &t.lines[n]
	return l[address].Load() == k.addr[0] && l[address+1].Load() == k.addr[1]
}

// idle is for how many ticks an entry was not heard, as far as its expiry and its server's
// timeouts tell: to within step, and for ever where nobody said what the timeouts are.
func (t *table) idle(e *Entry, now Tick) uint32 {
	timeouts := t.servers.timeouts(service.ID(e.bind).Number())
	if timeouts == nil {
		return ^uint32(0)
	}
	state := StateNone
	if t.templates != nil {
		state = e.State()
	}
	if state >= NumStates {
		return ^uint32(0)
	}
	left := e.Expiry() - now
	limit := renewed(0, timeouts[state])
	if state == StateTCPClose && left > limit {
		// It kept the time that it had left before.
		limit = renewed(0, timeouts[StateTCPEstablished])
	}
	return uint32(max(0, int32(limit-left)))
}

// displace removes the victim, unless it was heard meanwhile in a way that raised its
// grade.
func (t *table) displace(home uint32, b *uint32, v *victim, now Tick) bool {
	if !t.removeFrom(home, b, &v.Entry, due{now: now, below: gradeOf(v.life) + 1}) {
		return false
	}
	t.evicted.Add(1)
	return true
}

// removeFrom removes an entry of any home for one who holds the lock of home.
// It does not wait for another home's lock, so two of them cannot wait for each other.
func (t *table) removeFrom(home uint32, b *uint32, e *Entry, when due) bool {
	k := t.key(e.slot(), e.ident)
	if t.slot(e.slot())[ident].Load() != e.ident {
		return false
	}
	theirs := t.home(t.hash(&k))
	if theirs == home {
		return t.removeLocked(home, b, e.slot(), e.ident, when)
	}
	bits, ok := t.tryLock(theirs)
	if !ok {
		return false
	}
	ok = t.removeLocked(theirs, &bits, e.slot(), e.ident, when)
	t.unlock(theirs, bits)
	return ok
}

// contentment is the grade of the entries that a short search for room is content with. It
// begins at 0 in each tick, and rises with the long searches of that tick that found nothing so
// low. If there is no grade left that gives way, the table refuses newcomers
// for the rest of the tick.
func (t *table) contentment(now Tick) Grade {
	if word := t.content.Load(); Tick(word>>32) == now {
		return Grade(min(uint32(word)/searches, uint32(t.stays)))
	}
	return Unassured
}

// searched notes a long search that found nothing that a short one would have been content
// with. Two who do it at once may count as one.
func (t *table) searched(now Tick) {
	word := t.content.Load()
	if Tick(word>>32) != now {
		word = uint64(now) << 32
	}
	t.content.Store(word + 1)
}

// refuses reports whether a table that is full has nothing that gives way, as far as the
// searches of this tick can tell.
func (t *table) refuses(now Tick) bool {
	return t.contentment(now) >= t.stays && t.live.Load() >= t.capacity
}
