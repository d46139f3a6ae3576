package affinity

// Outcome is how an insertion ended.
type Outcome uint8

// The outcomes.
const (
	// Inserted: the entry is the caller's.
	Inserted Outcome = iota
	// Found: somebody was here first; the entry is theirs and the caller follows it.
	Found
	// Full: there is no room, and nothing that may be displaced.
	Full
	// Unheld: the template of a new connection is gone; look it up again.
	Unheld
)

// String is the outcome's name in a metric.
func (o Outcome) String() string {
	return [...]string{"inserted", "found", "full", "unheld"}[o&3]
}

// insert makes an entry unless the key has a valid one. life comes without its
// incarnation. held is the template of a connection, or nil.
func (t *table) insert(h Hash, k *Key, bound, lived uint64, held *Entry, now Tick) (Entry, Outcome) {
	home := t.home(h)
	b := t.lock(home)
	if e, ok := t.find(h, k); ok {
		if t.valid(&e, now) || !t.removeLocked(home, &b, e.slot(), e.ident, now, expired) {
			// Not removable: it was refreshed in between, so it is valid.
			e, _ = t.entry(e.slot(), e.ident)
			t.unlock(home, b)
			return e, Found
		}
		t.expired.Add(1)
	}
	if held != nil && !t.templates.hold(held) {
		t.unlock(home, b)
		return Entry{}, Unheld
	}
	e, ok := t.place(home, &b, k, bound, lived, now)
	t.unlock(home, b)
	if !ok {
		t.full.Add(1)
		if held != nil {
			t.templates.release(held.slot())
		}
		return Entry{}, Full
	}
	t.account(e.bind, e.life, +1)
	return e, Inserted
}

// place puts a new entry into a free slot of its home's probe sequence, the
// nearest, and makes room for it first where there is none. The caller holds
// the home's lock and has its bits in b.
func (t *table) place(home uint32, b *uint32, k *Key, bound, lived uint64, now Tick) (Entry, bool) {
	if t.live.Add(1) > t.capacity && !t.makeRoom(home, b, anywhere, now) {
		t.live.Add(-1)
		return Entry{}, false
	}
	e, ok := t.fill(home, b, k, bound, lived)
	if !ok && t.makeRoom(home, b, reachable, now) {
		e, ok = t.fill(home, b, k, bound, lived)
	}
	if !ok {
		t.live.Add(-1)
	}
	return e, ok
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

// patience is how many buckets makeRoom looks through for a better victim before
// it is content with the best so far.
const patience = 4

// where says where makeRoom looks.
type where bool

const (
	anywhere  where = false // the table has too many entries
	reachable where = true  // no place that the new entry may take is free
)

// makeRoom displaces one entry from the neighbourhood of home, whose lock the caller
// holds: the first expired one, or the unassured one that expires soonest among the
// first few buckets that have any. It looks through as many buckets as may make a failure
// likely to be true of the whole table, but no more: one that is full of assured
// entries under a flood must not cost a walk of it for each packet.
func (t *table) makeRoom(home uint32, b *uint32, at where, now Tick) bool {
	reach := t.reach
	if at == reachable {
		reach = probes
	}
	var victim Entry
	for i := range reach {
		bucket := (home + i) % uint32(len(t.buckets))
		if at == reachable {
			bucket = t.probe(home, int(i))
		}
		for n := bucket * slotsPerBucket; n < (bucket+1)*slotsPerBucket; n++ {
			e, ok := t.candidate(n)
			switch {
			case !ok:
			case expired(e.life, now):
				if t.removeFrom(home, b, &e, now, expired) {
					t.expired.Add(1)
					return true
				}
			case !assured(e.life) && (!victim.Valid() || victim.Expiry().After(e.Expiry())):
				victim = e
			}
		}
		if victim.Valid() && (i%patience == patience-1 || i == reach-1) {
			if t.removeFrom(home, b, &victim, now, displaceable) {
				t.evicted.Add(1)
				return true
			}
			victim = Entry{}
		}
	}
	return false
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

// displaceable reports whether an entry may be displaced by a new one.
func displaceable(life uint64, now Tick) bool { return !assured(life) || expired(life, now) }

// removeFrom removes an entry of any home for one who holds the lock of home.
// It does not wait for another home's lock, so two of them cannot wait for each other.
func (t *table) removeFrom(home uint32, b *uint32, e *Entry, now Tick, due dueFunc) bool {
	k := t.key(e.slot(), e.ident)
	if t.slot(e.slot())[ident].Load() != e.ident {
		return false
	}
	theirs := t.home(t.secret.hash(&k))
	if theirs == home {
		return t.removeLocked(home, b, e.slot(), e.ident, now, due)
	}
	bits, ok := t.tryLock(theirs)
	if !ok {
		return false
	}
	ok = t.removeLocked(theirs, &bits, e.slot(), e.ident, now, due)
	t.unlock(theirs, bits)
	return ok
}
