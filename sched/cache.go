package sched

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

const (
	cacheWays        = 8  // destinations in a bucket
	maxReplicas      = 16 // servers in a destination's set
	defaultCacheSize = 16 * 1024
	maxCacheSize     = 1 << 24
)

// cache remembers for destinations which servers they were sent to, for lblc and lblcr. It
// is a fixed array of atomic words that all workers share, exact (a destination is found
// under its whole address or not at all), and never blocks:
//
//	bucket:      | version | destination | ... cacheWays of them |
//	destination: | address, high | low | last used <<32 | last changed | server | ... |
//
// An even version says that the bucket is at rest, an odd one that a worker writes into it.
// Whoever reads a bucket compares its version before and after, and takes a bucket that
// moved meanwhile for one that does not have his destination. Whoever writes makes the
// version that he has read odd first, by compare and swap; if that fails, others were
// quicker and he leaves it at that: what is lost is one thing to remember. So no
// destination is ever in two places, and no reader sees halves of two writes. Only the time
// of last use is changed without a version: it is one word.
type cache struct {
	words    []atomic.Uint64
	replicas int    // servers that a destination can have
	buckets  uint64 // a power of two
	seed     uint64
}

// Words of a destination.
const (
	wordHigh = iota
	wordLow
	wordTimes
	wordServers // server's ID + 1; 0 ends the list
)

// cacheBuckets returns how many buckets size destinations take.
func cacheBuckets(size int) (uint64, error) {
	if size == 0 {
		size = defaultCacheSize
	}
	if size < 0 || size > maxCacheSize {
		return 0, fmt.Errorf("cache size %d: use 1 to %d", size, maxCacheSize)
	}
	return 1 << bits.Len(uint((size-1)/cacheWays)), nil
}

func newCache(buckets uint64, replicas int) *cache {
	c := &cache{replicas: replicas, buckets: buckets, seed: rand.Uint64()}
	c.words = make([]atomic.Uint64, buckets*uint64(c.bucketWords()))
	return c
}

func (c *cache) destinationWords() int { return wordServers + c.replicas }

func (c *cache) bucketWords() int { return 1 + cacheWays*c.destinationWords() }

// remembered is what the cache has of one destination, and where it would be written. It is
// a worker's own, on its stack.
type remembered struct {
	addr    packet.Addr
	found   bool
	used    uint32 // when somebody last asked for it, in seconds
	changed uint32 // when its servers last changed, in seconds
	servers [maxReplicas]service.ID
	n       int // of servers

	version *atomic.Uint64 // of the bucket
	read    uint64         // the version that was read
	words   []atomic.Uint64
}

// find fills m with what the cache has of a destination that somebody asked for within the
// last expiration seconds. If it has nothing, m is where the destination may be written:
// over what is left of itself, else over the one in its bucket that is unused for longest.
func (c *cache) find(addr packet.Addr, now, expiration uint32, m *remembered) {
	*m = remembered{addr: addr}
	size := uint64(c.bucketWords())
	bucket := c.words[c.hash(addr)*size:][:size]
	m.version = &bucket[0]
	m.read = m.version.Load()
	oldest := int64(-1)
	for rest := bucket[1:]; len(rest) > 0; rest = rest[c.destinationWords():] {
		words := rest[:c.destinationWords()]
		idle := idleFor(words, now, expiration)
		if words[wordServers].Load() != 0 && words[wordHigh].Load() == addr.Hi && words[wordLow].Load() == addr.Lo {
			if m.words = words; idle < unused {
				m.load()
			}
			break
		}
		if idle > oldest {
			oldest, m.words = idle, words
		}
	}
	if m.read%2 == 1 || m.version.Load() != m.read {
		m.found, m.n = false, 0
		m.read = 1 // a write would be refused as well
	}
}

// hash returns the bucket of a destination.
func (c *cache) hash(addr packet.Addr) uint64 {
	high, low := bits.Mul64(addr.Hi^c.seed, addr.Lo^0x9e3779b97f4a7c15)
	return (high ^ low) * 0xd6e8feb86659fd93 >> 32 & (c.buckets - 1)
}

// unused is for how long a destination is idle that is not there, or expired.
const unused = 1 << 40

// idleFor returns for how many seconds nobody has asked for a destination. Workers' clocks
// may be a second apart: a time to come is now.
func idleFor(words []atomic.Uint64, now, expiration uint32) int64 {
	if words[wordServers].Load() == 0 {
		return unused
	}
	idle := max(int32(now-uint32(words[wordTimes].Load()>>32)), 0)
	if uint32(idle) >= expiration {
		return unused
	}
	return int64(idle)
}

// load reads a destination.
func (m *remembered) load() {
	m.found = true
	times := m.words[wordTimes].Load()
	m.used, m.changed = uint32(times>>32), uint32(times)
	for i := range m.words[wordServers:] {
		word := m.words[wordServers+i].Load()
		if word == 0 {
			break
		}
		m.servers[m.n] = service.ID(word - 1)
		m.n++
	}
}

// touch notes that the destination was asked for.
func (m *remembered) touch(now uint32) {
	if int32(now-m.used) > 0 {
		m.words[wordTimes].CompareAndSwap(times(m.used, m.changed), times(now, m.changed))
	}
}

// write stores m, whose servers the caller has changed, unless another worker has changed
// something in the bucket since m was read.
func (m *remembered) write(now uint32) {
	if m.read%2 == 1 || !m.version.CompareAndSwap(m.read, m.read+1) {
		return
	}
	m.words[wordHigh].Store(m.addr.Hi)
	m.words[wordLow].Store(m.addr.Lo)
	m.words[wordTimes].Store(times(now, m.changed))
	for i := range m.words[wordServers:] {
		var word uint64
		if i < m.n {
			word = uint64(m.servers[i]) + 1
		}
		m.words[wordServers+i].Store(word)
	}
	m.version.Store(m.read + 2)
}

func times(used, changed uint32) uint64 { return uint64(used)<<32 | uint64(changed) }
