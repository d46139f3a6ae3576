package affinity

import (
	"sync/atomic"

	"github.com/xlvs/xlvs/service"
)

// Conns is the connection entries of both families. Its methods may be called
// from any number of threads; they neither block on a reader nor allocate.
type Conns struct {
	v4, v6  *table
	secret  *secret
	servers *servers
}

// ConnInit is what a new connection begins with.
type ConnInit struct {
	Server service.ID
	State  State
	Grade  Grade
	// Timeout is how long it lives without another packet; from Ticks.
	Timeout Tick
}

// of returns the table of a family.
func (c *Conns) of(v6 bool) *table {
	if v6 {
		return c.v6
	}
	return c.v4
}

// Hash returns the hash of the key of a connection or of fragments.
func (c *Conns) Hash(k *Key) Hash { return c.secret.conn(k) }

// Touch begins to load the bucket where the search for a key of the family starts. The
// result has no meaning; it is to be folded into something that is kept, lest the
// compiler drop the load. See Stage for many keys.
func (c *Conns) Touch(h Hash, v6 bool) uint64 { return c.of(v6).touch(h) }

// Stage loads what lookups of the keys will look at, so that the waits for memory
// overlap; it changes nothing but the time that the lookups take. hashes are the keys',
// and as many. The result has no meaning, as Touch's has none.
func (c *Conns) Stage(keys []Key, hashes []Hash) uint64 {
	return stage(c.v4, c.v6, keys, hashes, false)
}

// StageNew is Stage for keys most of which have no entry yet, and will get one.
func (c *Conns) StageNew(keys []Key, hashes []Hash) uint64 {
	return stage(c.v4, c.v6, keys, hashes, true)
}

// Cached reports whether the connections are so few that they are in the processor's
// caches: then Stage costs more than it saves for keys that are there. Where new
// ones go is not in the caches, however few there are.
func (c *Conns) Cached() bool { return cached(c.v4, c.v6) }

// Lookup returns the key's connection, if it has one that has not expired.
func (c *Conns) Lookup(h Hash, k *Key, now Tick) (e Entry, ok bool) {
	if k.v6 {
		e, ok = c.v6.find6(h, k)
	} else {
		e, ok = c.v4.find4(h, k)
	}
	return e, ok && !expired(e.life, now)
}

// Insert makes a connection unless the key has one. The outcome is Inserted,
// Found with the entry of the one who came first, Full, or PortFull.
func (c *Conns) Insert(h Hash, k *Key, init *ConnInit, now Tick) (Entry, Outcome) {
	lived := makeLife(now+init.Timeout, init.State, init.Grade, 0)
	return c.of(k.v6).insert(h, k, uint64(init.Server), lived, now)
}

// Hold lets a connection hold a template from now on until it ends: the template lives
// as long at least. It reports whether the connection holds one then; one that
// has another already keeps that. It takes the lock of the connection's home.
func (c *Conns) Hold(e, template *Entry) bool {
	t := c.of(e.IPv6())
	s := t.slot(e.slot())
	k := t.key(e.slot(), e.ident)
	if s[ident].Load() != e.ident || e.IPv6() != template.IPv6() {
		return false
	}
	home := t.home(t.hash(&k))
	b := t.lock(home)
	held := t.holdLocked(s, e, template)
	t.unlock(home, b)
	return held
}

// RefreshTemplate restarts the timer of the template that a connection holds, for
// services whose templates are refreshed by packets. It reports false if there is none.
func (c *Conns) RefreshTemplate(e *Entry, now, timeout Tick) bool {
	if !e.HasTemplate() {
		return false
	}
	return c.of(e.IPv6()).templates.renew(e.other(), e.life>>lifeOther, now, timeout)
}

// Delete forgets a connection, for one whose server was removed. It reports
// false if the entry was gone already.
func (c *Conns) Delete(e *Entry) bool {
	return c.of(e.IPv6()).remove(e.slot(), e.ident, always)
}

// holdLocked is Hold under the lock of the connection's home.
func (t *table) holdLocked(s *slot, e, template *Entry) bool {
	if s[ident].Load() != e.ident {
		return false
	}
	bound := s[bind].Load()
	if bound>>bindUpper != 0 {
		return true
	}
	if !t.templates.hold(template) {
		return false
	}
	// The word that names the template goes first: who moves the connection to CLOSE looks
	// at it between reading and exchanging life, so that one of the two has to retry.
	bound |= uint64(template.slot()+1) << bindUpper
	s[bind].Store(bound)
	e.bind, e.life = bound, setOther(&s[life], incarnation(template.ident))
	return true
}

// setOther changes the incarnation in a life word that belongs to what bind names.
func setOther(word *atomic.Uint64, other uint64) uint64 {
	for {
		old := word.Load()
		next := old&(1<<lifeOther-1) | other<<lifeOther
		if word.CompareAndSwap(old, next) {
			return next
		}
	}
}

// renew lets the entry in slot n live on for timeout, if its incarnation is own. It
// reports whether that is the entry.
func (t *table) renew(n uint32, own uint64, now, timeout Tick) bool {
	word := &t.slot(n)[life]
	for {
		old := word.Load()
		if (old>>lifeOwn^own)&lifeMask != 0 {
			return false
		}
		if settled(old, now, timeout) ||
			word.CompareAndSwap(old, old&^0xffffffff|uint64(renewed(now, timeout))) {
			return true
		}
	}
}
