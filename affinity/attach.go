package affinity

import (
	"fmt"
	"math/bits"
)

// Attach takes over tables that an earlier process left in mem, even one that was
// killed at any instruction. config must be the one they were formatted with. The
// error is, or wraps, ErrUnformatted or a *MismatchError where Format would help.
//
// Nobody else may write to the memory: an earlier process must be dead. The express
// lane, which only lets entries live on, may go on. Attach drops
// what was half inserted or half deleted and every entry whose server is not in
// the directory, clears locks, and counts afresh what is counted.
func Attach(mem []byte, config Config) (*Tables, error) {
	lines, err := view(mem, &config)
	if err == nil {
		err = checkHeader(lines, &config) // before the size, of which it says the reason
	}
	if err == nil {
		err = checkSize(mem, &config)
	}
	if err != nil {
		return nil, fmt.Errorf("attach tables: %w", err)
	}
	t := newTables(lines, config)
	for _, i := range []int{templates4, templates6, connections4, connections6} {
		t.tables[i].recover(t.directory)
	}
	for _, tb := range t.tables {
		tb.recount()
	}
	return t, nil
}

// recover empties every slot that has no sound entry, settles the holders, and
// makes the bucket words anew. Templates go first: connections hold them. Each bucket
// word is written once, when all of it is known, and an entry that stays is never changed in
// what a search looks at: the express lane finds it all the time.
func (t *table) recover(d *directory) {
	words := make([]uint32, len(t.buckets))
	for n := range t.slots() {
		s := t.slot(n)
		id := s[ident].Load()
		if id&statusMask == statusFree {
			continue
		}
		e, ok := t.entry(n, id)
		if !ok || id&statusMask != statusLive || e.life&unknownFlags != 0 || !d.holds(e.Server()) ||
			!t.register(words, n, id) {
			s[ident].Store(freed(id))
			continue
		}
		switch {
		case t.templates == nil:
			s[bind].Store(uint64(e.Server())) // each connection that holds it adds itself
		case e.HasTemplate() && !t.templates.rehold(&e):
			s[bind].Store(uint64(e.Server()))
			setOther(&s[life], 0)
		}
	}
	for i, word := range words {
		t.buckets[i].Store(word)
	}
}

// register sets the bit of slot n in its home's word. It fails if no search
// would come by, or if the key is registered already.
func (t *table) register(words []uint32, n uint32, id uint64) bool {
	k := t.key(n, id)
	home := t.home(t.hash(&k))
	d := t.distance(home, n/slotsPerBucket)
	if d < 0 {
		return false
	}
	for rest := words[home]; rest != 0; rest &= rest - 1 {
		first := t.probe(home, bits.TrailingZeros32(rest)) * slotsPerBucket
		for m := first; m < first+slotsPerBucket; m++ {
			other := t.slot(m)[ident].Load()
			if m != n && (other^id)&(identKey|statusMask) == 0 && t.key(m, other) == k && (m < n) {
				return false
			}
		}
	}
	words[home] |= 1 << d
	return true
}

// rehold counts a connection as a holder of its template, if that is there.
func (t *table) rehold(conn *Entry) bool {
	n := conn.other()
	if n >= t.slots() {
		return false
	}
	s := t.slot(n)
	if s[ident].Load()&statusMask != statusLive ||
		(s[life].Load()>>lifeOwn^conn.life>>lifeOther)&lifeMask != 0 {
		return false
	}
	s[bind].Add(1 << bindUpper)
	return true
}

// recount counts the entries of a recovered table.
func (t *table) recount() {
	for n := range t.slots() {
		s := t.slot(n)
		if s[ident].Load()&statusMask == statusLive {
			t.attached++
			t.account(s[ident].Load(), s[bind].Load(), s[life].Load(), +1)
		}
	}
	t.live.Store(int64(t.attached))
}
