package affinity

import "math/bits"

// Outcome is how an insertion ended.
type Outcome uint8

// The outcomes.
const (
	// Inserted: the entry is the caller's.
	Inserted Outcome = iota
	// Found: somebody was here first; the entry is theirs and the caller follows it.
	Found
	// Full: the table has no room, and nothing that may be displaced.
	Full
	// PortFull: the client's port has as many connections as it may have, and none of
	// them may be displaced.
	PortFull
)

// String is the outcome's name in a metric.
func (o Outcome) String() string {
	return [...]string{"inserted", "found", "full", "port_full"}[o&3]
}

// unassuredByPort is how many unassured connections one client port may have.
const unassuredByPort = 8

// insert makes an entry unless the key has a valid one. life comes without its
// incarnation.
func (t *table) insert(h Hash, k *Key, bound, lived uint64, now Tick) (Entry, Outcome) {
	if t.refuses(now) && !k.fragment() {
		if _, ok := t.find(h, k); !ok {
			t.full.Add(1)
			return Entry{}, Full
		}
	}
	home := t.home(h)
	b := t.lock(home)
	if e, ok := t.find(h, k); ok {
		if t.valid(&e, now) || !t.removeLocked(home, &b, e.slot(), e.ident, due{now: now}) {
			// Not removable: it was refreshed in between, so it is valid.
			e, _ = t.entry(e.slot(), e.ident)
			t.unlock(home, b)
			return e, Found
		}
		t.expired.Add(1)
	}
	e, o := t.place(home, &b, k, bound, lived, now)
	t.unlock(home, b)
	switch o {
	case Inserted:
		t.account(e.ident, e.bind, e.life, +1)
	case Full:
		t.full.Add(1)
	case PortFull:
		t.portFull.Add(1)
	}
	return e, o
}

// place puts a new entry into a free slot of its home's probe sequence, the
// nearest, and makes room for it first where there is none. The caller holds
// the home's lock and has its bits in b.
func (t *table) place(home uint32, b *uint32, k *Key, bound, lived uint64,
	now Tick,
) (Entry, Outcome) {
	if t.crowded(*b) {
		t.thin(home, b, k, now)
	}
	if t.live.Add(1) > t.room(k) && !t.makeRoom(home, b, now) {
		t.live.Add(-1)
		return Entry{}, Full
	}
	e, ok := t.fill(home, b, k, bound, lived)
	if !ok && t.makeRoomAt(home, b, k, now) {
		e, ok = t.fill(home, b, k, bound, lived)
	}
	if !ok {
		t.live.Add(-1)
		return Entry{}, PortFull
	}
	return e, Inserted
}

// fragmentShare is the part of a table's capacity that fragments may have beyond it: their
// connection has its place already, and they are soon over. There are slots for that.
const fragmentShare = 16

// room is how many entries there may be when this one is there, too.
func (t *table) room(k *Key) int64 {
	if k.fragment() {
		return t.capacity + t.capacity/fragmentShare
	}
	return t.capacity
}

// fill writes an entry into the nearest free slot of its home's probe sequence, if
// there is one. Only the holder of a bucket's lock may fill its slots. The caller has
// that of home, where there is room as a rule; a bucket whose lock somebody else has
// this moment is left out, so that no two wait for each other.
func (t *table) fill(home uint32, b *uint32, k *Key, bound, lived uint64) (Entry, bool) {
	if n, ok := t.vacancy(home); ok {
		*b |= 1
		return t.write(n, k, bound, lived), true
	}
	for d := 1; d < probes; d++ {
		bucket := t.probe(home, d)
		if _, ok := t.vacancy(bucket); !ok {
			continue
		}
		theirs, ok := t.tryLock(bucket)
		if !ok {
			continue
		}
		if n, ok := t.vacancy(bucket); ok {
			e := t.write(n, k, bound, lived)
			t.unlock(bucket, theirs)
			*b |= 1 << d
			return e, true
		}
		t.unlock(bucket, theirs)
	}
	return Entry{}, false
}

// vacancy returns a free slot of a bucket. It stays free for the holder of the
// bucket's lock alone.
func (t *table) vacancy(bucket uint32) (n uint32, ok bool) {
	n = bucket * slotsPerBucket
	if t.slot(n)[ident].Load()&statusMask == statusFree {
		return n, true
	}
	return n + 1, t.slot(n + 1)[ident].Load()&statusMask == statusFree
}

// write makes an entry of a vacant slot. Nobody reads what is in it before its ident
// says that it is live.
func (t *table) write(n uint32, k *Key, bound, lived uint64) Entry {
	s := t.slot(n)
	id := k.ident | s[ident].Load()&incarnationMask | statusLive
	e := Entry{bind: bound, life: lived | incarnation(id)&lifeMask<<lifeOwn, ident: id, at: n}
	if t.v6 {
		e.at |= atIPv6
		publish6(&t.lines[n], e.ident, e.bind, e.life, &k.addr)
	} else {
		publish4(s, e.ident, e.bind, e.life, k.addr[0])
	}
	return e
}

// crowded reports whether a home with these bits may have as many unassured connections of one
// client port as there may be.
func (t *table) crowded(b uint32) bool {
	return t.templates != nil && bits.OnesCount32(b&bucketProbes)*slotsPerBucket >= unassuredByPort
}
