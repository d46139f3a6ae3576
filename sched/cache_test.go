package sched

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

func destination(n int) packet.Addr { return packet.Addr{Hi: uint64(n) << 32, Lo: uint64(n)} }

func (c *cache) put(addr packet.Addr, now uint32, ids ...service.ID) {
	var m remembered
	c.find(addr, now, 100, &m)
	m.n, m.changed = copy(m.servers[:], ids), now
	m.write(now)
}

func (c *cache) get(addr packet.Addr, now uint32) []service.ID {
	var m remembered
	c.find(addr, now, 100, &m)
	return m.servers[:m.n]
}

func TestCacheKeepsWhatWasUsedLast(t *testing.T) {
	c := newCache(1, 1)
	for i := range cacheWays {
		c.put(destination(i), uint32(i), service.ID(i))
	}
	var m remembered
	c.find(destination(0), 50, 100, &m)
	m.touch(50)
	c.put(destination(99), 51, 99) // makes destination 1 go
	for i, want := range map[int]int{0: 1, 1: 0, 2: 1, cacheWays - 1: 1, 99: 1} {
		got := c.get(destination(i), 52)
		if len(got) != want || want == 1 && got[0] != service.ID(i) {
			t.Errorf("destination %d: servers %v, want %d of them", i, got, want)
		}
	}
}

func TestCacheExpires(t *testing.T) {
	c := newCache(8, 1)
	const start = 1<<32 - 50 // the clock's seconds may wrap
	now := uint32(start)
	c.put(destination(1), now, 5)
	for _, k := range []struct {
		age  int32
		want int
	}{{0, 1}, {-1, 1}, {99, 1}, {100, 0}, {1000, 0}} {
		if got := c.get(destination(1), now+uint32(k.age)); len(got) != k.want {
			t.Errorf("after %d s of 100: servers %v, want %d", k.age, got, k.want)
		}
	}
}

// What has expired for one scheduler may not have for the next, which is told to
// remember for longer: it must not come back beside what was written since.
func TestCacheReplacesWhatHasExpired(t *testing.T) {
	c := newCache(1, 1)
	c.put(destination(1), 0, 5)
	c.put(destination(2), 0, 6)
	c.put(destination(2), 150, 7) // after 100 s both have expired
	c.checkRest(t)
	var m remembered
	c.find(destination(2), 151, 1000, &m)
	if m.n != 1 || m.servers[0] != 7 {
		t.Errorf("servers %v, want the one written last", m.servers[:m.n])
	}
}

func TestCacheRefusesAWriteThatComesLate(t *testing.T) {
	c := newCache(1, 2)
	c.words[0].Add(1) // the first write of all goes on
	c.put(destination(1), 1, 9)
	c.words[0].Add(1)
	if got := c.get(destination(1), 1); len(got) != 0 {
		t.Errorf("servers %v, written in the middle of another write", got)
	}
	var late remembered
	c.find(destination(1), 1, 100, &late)
	c.put(destination(1), 1, 7, 8)
	late.servers[0], late.n = 9, 1
	late.write(1)
	if got := c.get(destination(1), 1); len(got) != 2 || got[0] != 7 || got[1] != 8 {
		t.Errorf("servers %v, want those of the first to write", got)
	}
	// While a write goes on, the bucket has nothing and takes nothing.
	c.words[0].Add(1)
	if got := c.get(destination(1), 1); len(got) != 0 {
		t.Errorf("servers %v in the middle of a write", got)
	}
	c.put(destination(1), 1, 9)
	c.words[0].Add(1)
	if got := c.get(destination(1), 1); len(got) != 2 {
		t.Errorf("servers %v after the write, want two", got)
	}
}

// Workers that write and read the same few buckets see whole destinations only: the servers
// that each was written with, never a mixture.
func TestCacheIsNeverTorn(t *testing.T) {
	const workers, rounds, destinations = 4, 100_000, 2 * cacheWays
	c := newCache(1, maxReplicas) // where each destination makes another go
	idsOf := func(d int) (ids []service.ID) {
		for i := range d%maxReplicas + 1 {
			ids = append(ids, service.ID(d*100+i))
		}
		return ids
	}
	var wait sync.WaitGroup
	found := make([]int, workers)
	for w := range workers {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for range rounds {
				d := random.IntN(destinations)
				now := 1 + random.Uint32N(10)
				var m remembered
				c.find(destination(d), now, 100, &m)
				if m.found {
					found[w]++
					want := idsOf(d)
					if m.n != len(want) {
						t.Errorf("destination %d has %d servers, want %d", d, m.n, len(want))
						return
					}
					for i, id := range want {
						if m.servers[i] != id {
							t.Errorf("destination %d: server %d is %d, want %d", d, i, m.servers[i], id)
							return
						}
					}
					m.touch(now)
					continue
				}
				m.n = copy(m.servers[:], idsOf(d))
				m.write(now)
			}
		})
	}
	wait.Wait()
	for w, n := range found {
		if n == 0 {
			t.Errorf("worker %d found nothing", w)
		}
	}
	c.checkRest(t)
}

// checkRest verifies that no bucket is being written and none has a destination twice.
func (c *cache) checkRest(t *testing.T) {
	t.Helper()
	for b := 0; b < len(c.words); b += c.bucketWords() {
		if v := c.words[b].Load(); v%2 != 0 {
			t.Errorf("bucket at %d has version %d at rest", b, v)
		}
		seen := make(map[packet.Addr]bool)
		for w := b + 1; w < b+c.bucketWords(); w += c.destinationWords() {
			addr := packet.Addr{Hi: c.words[w+wordHigh].Load(), Lo: c.words[w+wordLow].Load()}
			if c.words[w+wordServers].Load() != 0 && seen[addr] {
				t.Errorf("bucket at %d has %v twice", b, addr)
			}
			seen[addr] = seen[addr] || c.words[w+wordServers].Load() != 0
		}
	}
}
