package table

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// burst is how many lookups are done between two looks at the clock.
const burst = 1024

// lookups measures one slice of each kind of lookup.
func (s *size) lookups(t *subject) {
	t.add(figureLookup, s.slice(t, t.store.lookup, s.asking))
	t.add(figureMiss, s.slice(t, t.store.lookup, s.unknown))
	if x, ok := t.store.(*xlvsStore); ok {
		t.add(figureSingle, s.slice(t, x.single, s.asking))
	}
	t.add(figureLookupAll, s.sliceAll(t))
}

// slice looks clients up for as long as a slice lasts, and goes on where the last slice
// ended. A slice of another table has thrown this one out of the caches: bringing back
// what fits there is not counted.
func (s *size) slice(t *subject, lookup func([]uint32) int, clients []uint32) float64 {
	s.forFrom(&t.at, clients, warm, lookup)
	count := 0
	used := processTime(1, func() {
		for end := time.Now().Add(s.options.Duration); count == 0 || time.Now().Before(end); {
			count += s.forFrom(&t.at, clients, burst, lookup)
		}
	})
	return used / float64(count)
}

// forFrom calls f with at most n of the clients that are next, and moves on.
func (s *size) forFrom(at *int, clients []uint32, n int, f func([]uint32) int) int {
	n = min(n, len(clients)-*at)
	f(clients[*at : *at+n])
	if *at += n; *at == len(clients) {
		*at = 0
	}
	return n
}

// warm is how many lookups warm the caches.
const warm = 1 << 14

// sliceAll looks up on all cores at once.
func (s *size) sliceAll(t *subject) float64 {
	var total atomic.Int64
	used := s.onAll(func(core int) {
		count := 0
		at := (t.at + core*s.entries/s.options.Cores) % s.entries
		for end := time.Now().Add(s.options.Duration); count == 0 || time.Now().Before(end); {
			count += s.forFrom(&at, s.asking, burst, t.store.lookup)
		}
		total.Add(int64(count))
	})
	return used / float64(total.Load())
}

// onAll runs f on all cores at once and returns the processor time that was used, over
// the number of cores, in nanoseconds: the time that it took, if nothing else ran.
func (s *size) onAll(f func(core int)) float64 {
	return processTime(s.options.Cores, func() {
		var wg sync.WaitGroup
		for core := range s.options.Cores {
			wg.Go(func() { f(core) })
		}
		wg.Wait()
	})
}

// race lets clients open two connections at once, each on a thread of its own that has
// chosen a server of its own, and counts those that end up on two servers. Before each
// client the threads meet: first both have come, then both know that the other runs.
func race(table store, clients int) (split int) {
	var come, ready [2]counter
	got := [2][]uint32{make([]uint32, clients), make([]uint32, clients)}
	var wg sync.WaitGroup
	for me := range 2 {
		wg.Go(func() {
			for n := range clients {
				meet(&come, me, n)
				meet(&ready, me, n)
				mine := uint32(1 + me*servers/2 + n%(servers/2))
				got[me][n] = table.assign(uint32(n), mine)
			}
		})
	}
	wg.Wait()
	for n := range clients {
		if got[0][n] != got[1][n] {
			split++
		}
	}
	return split
}

// counter has a cache line of its own.
type counter struct {
	n atomic.Int64
	_ [56]byte
}

// meet says that one of two is at n, and waits for the other.
func meet(at *[2]counter, me, n int) {
	at[me].n.Store(int64(n + 1))
	for spins := 1; at[1-me].n.Load() <= int64(n); spins++ {
		if spins%spinMost == 0 {
			runtime.Gosched() // the other may need this core
		}
	}
}

// spinMost is how long one waits for the other before it lets others run.
const spinMost = 2000
