package affinity

// due says which entries may go: those that have expired by now, and those of a lower
// grade than below.
type due struct {
	now   Tick
	below Grade
}

// always is for a deletion that was asked for.
var always = due{below: MaxGrade + 1}

// covers reports whether an entry with this life word may go.
func (d *due) covers(life uint64) bool {
	return gradeOf(life) < d.below || expired(life, d.now)
}

// remove deletes the entry of slot n if it is still the one with the ident
// word id and is due.
func (t *table) remove(n uint32, id uint64, when due) bool {
	k := t.key(n, id)
	if t.slot(n)[ident].Load() != id {
		return false
	}
	home := t.home(t.hash(&k))
	b := t.lock(home)
	ok := t.removeLocked(home, &b, n, id, when)
	t.unlock(home, b)
	return ok
}

// removeLocked is remove under the lock of the entry's home, whose bits are in b.
func (t *table) removeLocked(home uint32, b *uint32, n uint32, id uint64, when due) bool {
	s := t.slot(n)
	if s[ident].Load() != id {
		return false
	}
	bound, lived, ok := t.seal(s, id, when)
	if !ok {
		return false
	}
	s[ident].Store(freed(id))
	if !t.shared(home, n) {
		*b &^= 1 << t.distance(home, n/slotsPerBucket)
	}
	t.live.Add(-1)
	t.removed.Add(1)
	t.account(id, bound, lived, -1)
	if e := (Entry{ident: id, bind: bound}); t.templates != nil && e.HasTemplate() {
		t.templates.release(e.other())
	}
	return true
}

// seal takes an entry's life, so that nobody can extend it any more, and returns
// its last words. It fails if the entry is not due, or is a template that is held.
func (t *table) seal(s *slot, id uint64, when due) (bound, lived uint64, ok bool) {
	bound = s[bind].Load()
	if t.templates == nil {
		// First nobody may hold it any more.
		for bound>>bindUpper == 0 && !s[bind].CompareAndSwap(bound, bound|dying<<bindUpper) {
			bound = s[bind].Load()
		}
		if bound>>bindUpper != 0 {
			return 0, 0, false
		}
	}
	for {
		lived = s[life].Load()
		if !when.covers(lived) {
			break
		}
		if s[life].CompareAndSwap(lived, incarnation(freed(id))&lifeMask<<lifeOwn) {
			return bound, lived, true
		}
	}
	if t.templates == nil {
		s[bind].Store(bound) // it was refreshed in time: let it be held again
	}
	return 0, 0, false
}

// shared reports whether slot n's neighbour in its bucket has the same home. The
// caller holds the home's lock, so such a neighbour does not change; one of
// another home may change while it is looked at, which the last load shows.
func (t *table) shared(home, n uint32) bool {
	other := n ^ 1
	word := &t.slot(other)[ident]
	id := word.Load()
	if id&statusMask != statusLive {
		return false
	}
	k := t.key(other, id)
	return word.Load() == id && t.home(t.hash(&k)) == home
}

// hold adds a holder to a template. It fails if the template is gone.
func (t *table) hold(e *Entry) bool {
	s := t.slot(e.slot())
	for {
		bound := s[bind].Load()
		if bound>>bindUpper >= dying-1 || s[ident].Load() != e.ident {
			return false
		}
		if !s[bind].CompareAndSwap(bound, bound+1<<bindUpper) {
			continue
		}
		if s[ident].Load() == e.ident {
			return true
		}
		// The slot has another template that looked the same. It was not deleted
		// meanwhile: it was held.
		t.release(e.slot())
		return false
	}
}

// release takes a holder from a template. The holder kept it from being deleted.
func (t *table) release(n uint32) {
	const one = 1 << bindUpper
	t.slot(n)[bind].Add(^uint64(one - 1))
}
