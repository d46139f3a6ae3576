package affinity

import "github.com/xlvs/xlvs/service"

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
	Flags  Flags
	// Timeout is how long it lives without another packet; from Ticks.
	Timeout Tick
	// Template is the template through which it was scheduled. The connection holds
	// it as long as it lives. The zero Entry is none.
	Template Entry
}

// of returns the table of a family.
func (c *Conns) of(v6 bool) *table {
	if v6 {
		return c.v6
	}
	return c.v4
}

// Hash returns the key's hash, good for connections and templates alike.
func (c *Conns) Hash(k *Key) Hash { return c.secret.hash(k) }

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
// Found with the entry of the one who came first, Full, or Unheld if the
// template is gone.
func (c *Conns) Insert(h Hash, k *Key, init *ConnInit, now Tick) (Entry, Outcome) {
	bound := uint64(init.Server)
	lived := makeLife(now+init.Timeout, init.State, init.Flags, 0, 0)
	var held *Entry
	if init.Template.Valid() && init.Template.IPv6() == k.v6 {
		held = &init.Template
		bound |= uint64(held.slot()+1) << bindUpper
		lived |= incarnation(held.ident) << lifeTemplate
	}
	return c.of(k.v6).insert(h, k, bound, lived, held, now)
}

// Update says that a packet of a connection came: it is now in this state, has
// these flags beside those it had, and lives on for timeout. It writes only if
// something changed that matters, for the expiry a second or an eighth of the
// timeout. It reports false if there was something to write and the entry is gone. A
// connection that becomes Assured makes its template so (ip_vs_control_assure_ct).
func (c *Conns) Update(e *Entry, state State, flags Flags, now, timeout Tick) bool {
	known := uint32(e.life >> lifeState)
	if known&^maxState|uint32(state)|uint32(flags)<<(lifeFlags-lifeState) == known && settled(e.life, now, timeout) {
		return true
	}
	return c.update(e, state, flags, now+timeout)
}

// update is the writing part of Update.
func (c *Conns) update(e *Entry, state State, flags Flags, expiry Tick) bool {
	word := &c.of(e.IPv6()).slot(e.slot())[life]
	for {
		old := word.Load()
		if !owns(e.ident, old) {
			return false
		}
		was := Entry{life: old}
		next := makeLife(expiry, state, flags|was.Flags(), old>>lifeOwn, old>>lifeTemplate)
		if !word.CompareAndSwap(old, next) {
			continue
		}
		c.servers.move(e.Server().Number(), was.State(), state)
		if flags&^was.Flags()&Assured != 0 && e.HasTemplate() {
			c.of(e.IPv6()).templates.assure(e)
		}
		return true
	}
}

// RefreshTemplate restarts the timer of the template that a connection holds, for
// services whose templates are refreshed by packets. It reports false if there is none.
func (c *Conns) RefreshTemplate(e *Entry, now, timeout Tick) bool {
	if !e.HasTemplate() {
		return false
	}
	return c.of(e.IPv6()).templates.renew(e.template(), e.life>>lifeTemplate, now, timeout)
}

// Delete forgets a connection, for one whose server was removed. It reports
// false if the entry was gone already.
func (c *Conns) Delete(e *Entry) bool {
	return c.of(e.IPv6()).remove(e.slot(), e.ident, 0, always)
}

// assure gives the template of a connection the flag Assured.
func (t *table) assure(conn *Entry) {
	word := &t.slot(conn.template())[life]
	for {
		old := word.Load()
		if (old>>lifeOwn^conn.life>>lifeTemplate)&lifeMask != 0 || assured(old) ||
			word.CompareAndSwap(old, old|uint64(Assured)<<lifeFlags) {
			return
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
		if settled(old, now, timeout) || word.CompareAndSwap(old, old&^0xffffffff|uint64(now+timeout)) {
			return true
		}
	}
}
