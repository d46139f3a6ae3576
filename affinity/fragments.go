package affinity

import "github.com/xlvs/xlvs/service"

// SetFragment notes where the fragments of the packet with key k go: to the server
// of the first one's connection, which is the zero Entry if there is none. An older note
// under the same key is about an older packet, whose identification is used again (RFC
// 6864, 4.3): it is replaced, time and all. The outcome is Inserted, Found for one that was
// replaced, or Full or PortFull.
func (c *Conns) SetFragment(h Hash, k *Key, server service.ID, conn *Entry,
	now, timeout Tick,
) Outcome {
	bound := uint64(server)
	lived := makeLife(now+timeout, StateFragment, Unassured, 0)
	if conn.Valid() && conn.IPv6() == k.v6 {
		bound |= uint64(conn.slot()+1) << bindUpper
		lived |= incarnation(conn.ident) << lifeOther
	}
	return c.of(k.v6).set(h, k, bound, lived, now)
}

// set is insert that replaces what an entry of the key says.
func (t *table) set(h Hash, k *Key, bound, lived uint64, now Tick) Outcome {
	for {
		e, o := t.insert(h, k, bound, lived, now)
		if o != Found || t.replace(h, &e, bound, lived) {
			return o
		}
	}
}

// replace overwrites what an entry says, unless it is gone. A reader that comes in between may
// see one word of each; it follows the server that it saw, and takes the
// connection for gone.
func (t *table) replace(h Hash, e *Entry, bound, lived uint64) bool {
	home := t.home(h)
	b := t.lock(home)
	s := t.slot(e.slot())
	there := s[ident].Load() == e.ident
	if there {
		// Nobody deletes it without the lock, and nobody else changes a fragment's life.
		s[bind].Store(bound)
		s[life].Store(lived | incarnation(e.ident)&lifeMask<<lifeOwn)
	}
	t.unlock(home, b)
	return there
}

// Connection returns the connection that a fragment's entry names, if it is there still. k is
// the fragment's key.
func (c *Conns) Connection(fragment *Entry, k *Key) (Entry, bool) {
	t, n := c.of(k.v6), fragment.other()
	if fragment.protocol() != protocolFragment || n >= t.slots() {
		return Entry{}, false
	}
	id := t.slot(n)[ident].Load()
	if id&statusMask != statusLive || (fragment.life>>lifeOther^incarnation(id))&lifeMask != 0 {
		return Entry{}, false
	}
	// Ten bits of an incarnation may be a stranger's; of the same two addresses it is not.
	other := t.key(n, id)
	e, ok := t.entry(n, id)
	return e, ok && other.addr == k.addr && !other.fragment()
}
