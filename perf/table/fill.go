package table

import (
	"runtime"
	"time"
)

// fill measures what has a table alone in memory: it is made and filled twice, by one core
// and by all.
func (s *size) fill(t *subject) error {
	before := heap()
	table, err := t.open(s.capacity)
	if err != nil {
		return err
	}
	t.add(figureInsert, processTime(s.entries, func() {
		table.insert(s.arriving)
		table.settle()
	}))
	t.bytes = float64(heap()-before+table.memory()) / float64(max(1, table.lookup(s.asking)))
	start := time.Now()
	runtime.GC()
	t.add(figureGC, float64(time.Since(start).Nanoseconds()))
	table.close()

	runtime.GC()
	if table, err = t.open(s.capacity); err != nil {
		return err
	}
	defer table.close()
	used := s.onAll(func(core int) {
		table.insert(s.arriving[core*s.entries/s.options.Cores : (core+1)*s.entries/s.options.Cores])
	})
	used += processTime(s.options.Cores, table.settle)
	t.add(figureInsertAll, used/float64(s.entries))
	t.lost = max(t.lost, s.entries-table.lookup(s.asking))
	if t.noExpire == "" {
		present := s.entries - t.lost
		t.add(figureExpire, processTime(max(1, present), func() { t.left = table.expire() }))
	}
	return nil
}

// heap is how many bytes of Go's heap are in use once garbage is collected. The
// second collection frees what the first only found finalizers and pools for.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// populateTries is how often what a table did not take is put in again.
const populateTries = 20

// populate fills a table for lookups, patiently: a table that drops what comes too
// fast gets it again, a little at a time, so that its lookups find as much as those of
// the others.
func (s *size) populate(t *subject) (err error) {
	if t.store, err = t.open(s.capacity); err != nil {
		return err
	}
	for range populateTries {
		for rest := s.arriving; len(rest) > 0; {
			n := min(1024, len(rest))
			if t.store.lookup(rest[:n]) < n {
				t.store.insert(rest[:n])
				t.store.settle()
			}
			rest = rest[n:]
		}
		if t.present = t.store.lookup(s.arriving); t.present == s.entries {
			break
		}
	}
	return nil
}
