package affinity

import (
	"math/bits"
	"runtime"
	"sync/atomic"

	"github.com/xlvs/xlvs/service"
)

// slot is the four words that begin an entry of either family.
type slot = [4]atomic.Uint64

// table is one of the four tables over its part of the memory. layout.go says
// how it is searched and changed.
type table struct {
	// Constant.
	lines    []line
	buckets  []atomic.Uint32 // the words of the buckets
	secret   *secret
	servers  *servers
	capacity int64
	reach    uint32 // how many buckets makeRoom looks through
	stays    Grade  // from which grade on an entry never gives way
	v6       bool
	// templates is the table of the connections' templates; nil in a table of templates.
	templates *table

	_ [lineBytes]byte

	// Written on insertion and deletion.
	live     atomic.Int64
	_        [lineBytes - 8]byte
	removed  atomic.Uint64
	expired  atomic.Uint64 // of removed, those whose time was over
	evicted  atomic.Uint64 // of removed, those displaced before their time
	full     atomic.Uint64 // insertions refused
	portFull atomic.Uint64 // insertions refused because of the client's port
	content  atomic.Uint64 // a tick (high half), and the long searches for room in it (room.go)
	attached uint64        // entries that Attach found; constant
	_        [lineBytes - 56]byte
}

// home returns the bucket where the search for a key begins.
func (t *table) home(h Hash) uint32 { return uint32(uint64(h) * uint64(len(t.buckets)) >> 32) }

// probe returns the bucket at distance d from home.
func (t *table) probe(home uint32, d int) uint32 {
	i := home + uint32(d*(d+1)/2)
	if i >= uint32(len(t.buckets)) {
		i -= uint32(len(t.buckets))
	}
	return i
}

// distances inverts d(d+1)/2; other offsets are not reached by a probe.
var distances = func() (table [span + 1]int8) {
	for i := range table {
		table[i] = -1
	}
	for d := range probes {
		table[d*(d+1)/2] = int8(d)
	}
	return table
}()

// distance inverts probe; it is -1 if no probe from home reaches the bucket.
func (t *table) distance(home, bucket uint32) int {
	offset := int(bucket) - int(home)
	if offset < 0 {
		offset += len(t.buckets)
	}
	if offset > span {
		return -1
	}
	return int(distances[offset])
}

// slots is how many slots there are.
func (t *table) slots() uint32 { return uint32(len(t.buckets)) * slotsPerBucket }

// slot returns the slot of a number.
func (t *table) slot(n uint32) *slot {
	if t.v6 {
		return (*slot)(t.lines[n][:4])
	}
	half := n & 1 * 4
	return (*slot)(t.lines[n>>1][half : half+4])
}

// key reads the key of slot n, whose ident word the caller has read. The
// caller checks ident again afterwards, if the slot may have changed.
func (t *table) key(n uint32, ident uint64) Key {
	k := Key{ident: ident & identKey, v6: t.v6}
	if !t.v6 {
		k.addr[0] = t.slot(n)[address].Load()
		return k
	}
	l := &t.lines[n]
	for i := range k.addr {
		k.addr[i] = l[address+i].Load()
	}
	return k
}

// find returns the entry of a key, whatever its life says. It is a miss if the
// entry is deleted while find looks at it.
func (t *table) find(h Hash, k *Key) (Entry, bool) {
	if t.v6 {
		return t.find6(h, k)
	}
	return t.find4(h, k)
}

// find4 is find for IPv4.
func (t *table) find4(h Hash, k *Key) (Entry, bool) {
	home := t.home(h)
	l := &t.lines[home]
	if id := l[ident].Load(); match(id, k) && l[address].Load() == k.addr[0] {
		return read((*slot)(l[:4]), id, home*2)
	}
	if id := l[4+ident].Load(); match(id, k) && l[4+address].Load() == k.addr[0] {
		return read((*slot)(l[4:]), id, home*2+1)
	}
	if b := t.buckets[home].Load() & (bucketProbes - 1); b != 0 {
		return t.findAway4(home, b, k)
	}
	return Entry{}, false
}

// findAway4 looks at the buckets away from home that the bucket word names.
func (t *table) findAway4(home, b uint32, k *Key) (Entry, bool) {
	for ; b != 0; b &= b - 1 {
		at := t.probe(home, bits.TrailingZeros32(b))
		l := &t.lines[at]
		if id := l[ident].Load(); match(id, k) && l[address].Load() == k.addr[0] {
			return read((*slot)(l[:4]), id, at*2)
		}
		if id := l[4+ident].Load(); match(id, k) && l[4+address].Load() == k.addr[0] {
			return read((*slot)(l[4:]), id, at*2+1)
		}
	}
	return Entry{}, false
}

// find6 is find for IPv6.
func (t *table) find6(h Hash, k *Key) (Entry, bool) {
	home := t.home(h)
	for b := uint32(1); ; {
		n := t.probe(home, bits.TrailingZeros32(b)) * 2
		l := &t.lines[n]
		if id := l[ident].Load(); match(id, k) && matchAddresses6(l, k) {
			return read((*slot)(l[:4]), id, n|atIPv6)
		}
		l = &t.lines[n+1]
		if id := l[ident].Load(); match(id, k) && matchAddresses6(l, k) {
			return read((*slot)(l[:4]), id, n+1|atIPv6)
		}
		if b == 1 {
			b = t.buckets[home].Load()&bucketProbes | 1
		}
		if b &= b - 1; b == 0 {
			return Entry{}, false
		}
	}
}

// match reports whether an ident word is live and has the key's ports and protocol.
func match(id uint64, k *Key) bool {
	return (id^(k.ident|statusLive))&(identKey|statusMask) == 0
}

// matchAddresses6 compares the addresses of an IPv6 slot with the key's.
func matchAddresses6(l *line, k *Key) bool {
	return l[address].Load() == k.addr[0] && l[address+1].Load() == k.addr[1] &&
		l[address+2].Load() == k.addr[2] && l[address+3].Load() == k.addr[3]
}

// read copies a slot whose ident word was id, and fails if it is no longer.
func read(s *slot, id uint64, at uint32) (Entry, bool) {
	e := Entry{bind: s[bind].Load(), life: s[life].Load(), ident: id, at: at}
	return e, s[ident].Load() == id && owns(id, e.life)
}

// entry is read for the slot of a number.
func (t *table) entry(n uint32, id uint64) (Entry, bool) {
	if t.v6 {
		return read(t.slot(n), id, n|atIPv6)
	}
	return read(t.slot(n), id, n)
}

// lock takes the writers' lock of a home and returns its probe bits. The
// holder never blocks, so the wait is some tens of nanoseconds, unless the
// holder's thread lost its processor.
func (t *table) lock(home uint32) uint32 {
	b := &t.buckets[home]
	for spins := 1; ; spins++ {
		v := b.Load()
		if v&bucketLock == 0 && b.CompareAndSwap(v, v|bucketLock) {
			return v
		}
		if spins%64 == 0 {
			runtime.Gosched()
		}
	}
}

// tryLock is lock that gives up.
func (t *table) tryLock(home uint32) (uint32, bool) {
	b := &t.buckets[home]
	v := b.Load()
	return v, v&bucketLock == 0 && b.CompareAndSwap(v, v|bucketLock)
}

// unlock sets a home's probe bits and gives its lock up.
func (t *table) unlock(home, b uint32) { t.buckets[home].Store(b) }

// valid reports whether an entry counts as there: not expired, or a template
// that is held.
func (t *table) valid(e *Entry, now Tick) bool {
	if t.templates != nil {
		return !expired(e.life, now)
	}
	return kept(e.bind, e.life, now)
}

// kept reports whether a template with these words is there: held, or not expired,
// and not dying.
func kept(bound, lived uint64, now Tick) bool {
	holders := bound >> bindUpper
	return holders != dying && (holders != 0 || !expired(lived, now))
}

// account tells the server of a new or deleted entry, by +1 or -1.
func (t *table) account(id, bound, lived uint64, by int64) {
	number := service.ID(bound).Number()
	if t.templates == nil {
		t.servers.counts(number).Persistent.Add(by)
		return
	}
	t.servers.account(number, stateOf(id, lived), by)
}
