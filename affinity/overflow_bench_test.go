package affinity

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/xlvs/xlvs/service"
)

// BenchmarkOverflowTier asks whether a bounded cache behind the exact table keeps more
// clients on their server than the same memory given to the exact table. Clients come back by
// Zipf's law, more of them than either has room for. Clients whose template the
// exact table has no room for are kept in the cache, or, without one, not at all. One
// operation is the whole measurement; "kept%" is how many of the returning clients met the
// server that they had last, "µs/visit" what a visit cost.
//
// Measured: the more of the memory the cache gets, the fewer clients are kept (60,000
// clients: 97.9 % without a cache, 95.9 % with half of the memory, 92.3 % with three
// quarters; 200,000: 95.9, 91.5 and 88.5 %), because an entry of the cache takes 229 bytes and
// one of the table 57. So there is no such tier.
func BenchmarkOverflowTier(b *testing.B) {
	const budget = 50_000 * 57 // bytes
	cost := ristrettoBytes(b)
	for _, clients := range []int{60_000, 200_000} {
		for _, share := range []int{0, 25, 50, 75} {
			b.Run(fmt.Sprintf("clients=%d/cache%%=%d", clients, share), func(b *testing.B) {
				for b.Loop() {
					overflow(b, clients, budget*(100-share)/100/57, int64(float64(budget*share/100)/cost))
				}
				b.ReportMetric(cost, "cache-bytes/entry")
			})
		}
	}
}

// ristrettoBytes measures what one entry of a full ristretto cache takes of the heap.
func ristrettoBytes(b *testing.B) float64 {
	const n = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cache := newRistretto(b, n, true)
	defer cache.Close()
	for i := range uint64(n) {
		cache.SetWithTTL(i, service.ID(i), 1, time.Hour)
		cache.Wait()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	stored := cache.Metrics.KeysAdded() - cache.Metrics.KeysEvicted()
	return float64(after.HeapAlloc-before.HeapAlloc) / float64(stored)
}

// overflow plays visits against an exact table of some entries and a cache of others.
func overflow(b *testing.B, clients, exact int, cached int64) {
	config := Config{Templates4: uint32(exact), Servers: 16}
	t, ids := format(b, mappedMemory(b, config), config, 8)
	cache := newRistretto(b, max(1, cached), false)
	defer cache.Close()
	r := rand.New(rand.NewPCG(8, 9))
	zipf := rand.NewZipf(r, 1.05, 50, uint64(clients-1))
	last := make([]service.ID, clients)
	returned, kept := 0, 0
	const visits, timeout = 500_000, 2000 // a tick is 100 visits
	start := time.Now()
	for visit := range visits {
		now := Tick(visit / 100)
		if visit%1000 == 0 {
			pass(t, now)
		}
		n := int(zipf.Uint64())
		k := networkKey(n*16, false)
		h := t.Templates.Hash(&k)
		var server service.ID
		if e, ok := t.Templates.Lookup(h, &k, now); ok {
			t.Templates.Refresh(&e, now, timeout)
			server = e.Server()
		} else {
			known := false
			if cached > 0 {
				server, known = cache.Get(uint64(n))
			}
			if !known {
				server = ids[r.IntN(len(ids))]
			}
			if e, o := t.Templates.Insert(h, &k, server, now, timeout); o == Inserted {
				t.Templates.Assure(&e)
			} else if cached > 0 {
				cache.SetWithTTL(uint64(n), server, 1, time.Hour)
				cache.Wait() // to its advantage: the next visit sees it
			}
		}
		if last[n] != 0 {
			returned++
			if last[n] == server {
				kept++
			}
		}
		last[n] = server
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/visits, "µs/visit")
	b.ReportMetric(100*float64(kept)/float64(returned), "kept%")
}
