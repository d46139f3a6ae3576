package affinity

import "github.com/xlvs/xlvs/service"

// Templates is the persistence templates of both families: which real server the
// clients of one masked address have at one service. Its methods may be called
// from any number of threads; they neither block on a reader nor allocate.
//
// A template is there until its timer has run out and the last connection that
// holds it has ended, whichever is later.
type Templates struct {
	v4, v6 *table
	secret *secret
}

// of returns the table of a family.
func (t *Templates) of(v6 bool) *table {
	if v6 {
		return t.v6
	}
	return t.v4
}

// Hash returns the hash of a template's key.
func (t *Templates) Hash(k *Key) Hash { return t.secret.whole(k) }

// Touch is Conns.Touch for templates.
func (t *Templates) Touch(h Hash, v6 bool) uint64 { return t.of(v6).touch(h) }

// StageNew is Conns.StageNew for templates.
func (t *Templates) StageNew(keys []Key, hashes []Hash) uint64 {
	return stage(t.v4, t.v6, keys, hashes, true)
}

// Lookup returns the key's template if it is valid by time or by holders. Whether its server
// still is, is for the caller to say, see Rebind.
func (t *Templates) Lookup(h Hash, k *Key, now Tick) (e Entry, ok bool) {
	if k.v6 {
		e, ok = t.v6.find6(h, k)
	} else {
		e, ok = t.v4.find4(h, k)
	}
	return e, ok && kept(e.bind, e.life, now)
}

// Insert makes a template unless the key has a valid one. The outcome is
// Inserted, Found with the entry of the one who came first, or Full. The new one is
// unassured, and nobody holds it: it gives way to others until somebody assures it.
func (t *Templates) Insert(h Hash, k *Key, server service.ID, now, timeout Tick) (Entry, Outcome) {
	lived := makeLife(now+timeout, StateNone, Unassured, 0)
	return t.of(k.v6).insert(h, k, uint64(server), lived, now)
}

// Rebind gives a template another server, because the one in e is no longer
// to be used. If two do it at once, one wins; both get the template with the
// server to use from now on. An invalid Entry means that the template is
// gone: look it up again.
func (t *Templates) Rebind(e Entry, server service.ID) (now Entry, won bool) {
	tb := t.of(e.IPv6())
	s := tb.slot(e.slot())
	for {
		bound := s[bind].Load()
		if s[ident].Load() != e.ident || bound>>bindUpper == dying {
			return Entry{}, false
		}
		if service.ID(bound) != e.Server() {
			e.bind = bound
			return e, false
		}
		next := bound&^0xffffffff | uint64(server)
		if s[bind].CompareAndSwap(bound, next) {
			tb.account(e.ident, bound, 0, -1)
			tb.account(e.ident, next, 0, +1)
			e.bind = next
			return e, true
		}
	}
}

// Refresh restarts a template's timer. It writes only if the expiry is off by
// a second or an eighth of the timeout. It reports false if the template is gone.
func (t *Templates) Refresh(e *Entry, now, timeout Tick) bool {
	return t.of(e.IPv6()).renew(e.slot(), incarnation(e.ident), now, timeout)
}

// Assure makes a template assured, so that it is never displaced: its client answered, or
// has a second connection. It reports false if the template is gone.
func (t *Templates) Assure(e *Entry) bool {
	word := &t.of(e.IPv6()).slot(e.slot())[life]
	for {
		old := word.Load()
		if !owns(e.ident, old) {
			return false
		}
		next := old | uint64(Assured)<<lifeGrade
		if next == old || word.CompareAndSwap(old, next) {
			e.life = next
			return true
		}
	}
}

// Delete forgets a template that nothing holds. It reports false if it is held
// or was gone already.
func (t *Templates) Delete(e *Entry) bool {
	return t.of(e.IPv6()).remove(e.slot(), e.ident, always)
}
