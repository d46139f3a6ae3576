package affinity

import (
	"math/bits"

	"github.com/xlvs/xlvs/service"
)

// sweep is where Sweep is. Tables.mu guards it.
type sweep struct {
	pass  uint64 // from 1
	table int
	home  int
}

// Sweep removes expired entries. It goes on where the last call ended, looks at
// the entries of at most homes home lines, and reports whether it came to the end of
// the last table. Calls are for one goroutine; how large a share of the tables a call
// covers, and how often it comes, decides how long expired entries take up
// room. Lines where nothing lives cost four bytes of sequential reading each.
func (t *Tables) Sweep(now Tick, homes int) (wrapped bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for homes > 0 {
		tb := t.tables[t.sweep.table]
		end := min(t.sweep.home+homes, len(tb.buckets))
		homes -= end - t.sweep.home
		for ; t.sweep.home < end; t.sweep.home++ {
			if b := tb.buckets[t.sweep.home].Load() & bucketProbes; b != 0 {
				t.sweepHome(tb, uint32(t.sweep.home), b, now)
			}
		}
		if end < len(tb.buckets) {
			return false
		}
		t.sweep.home = 0
		if t.sweep.table++; t.sweep.table == tableCount {
			t.sweep.table = 0
			t.directory.reclaim(t.sweep.pass, t.servers)
			t.sweep.pass++
			return true
		}
	}
	return false
}

// sweepHome looks at all lines that a home's entries are in, its neighbours' entries
// there included.
func (t *Tables) sweepHome(tb *table, home, b uint32, now Tick) {
	for ; b != 0; b &= b - 1 {
		first := tb.probe(home, bits.TrailingZeros32(b)) * slotsPerBucket
		for n := first; n < first+slotsPerBucket; n++ {
			s := tb.slot(n)
			id := s[ident].Load()
			if id&statusMask != statusLive {
				continue
			}
			e, ok := tb.entry(n, id)
			if !ok {
				continue
			}
			if !tb.valid(&e, now) && tb.remove(n, id, due{now: now}) {
				tb.expired.Add(1)
				continue
			}
			if number := service.ID(e.bind).Number(); number < uint32(len(t.directory.seen)) {
				t.directory.seen[number] = t.sweep.pass
			}
		}
	}
}
