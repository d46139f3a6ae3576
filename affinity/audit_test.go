package affinity

import (
	"fmt"
	"testing"

	"github.com/xlvs/xlvs/service"
)

// audit checks tables that nobody is changing, every word of them, against what
// layout.go promises: the obvious slow way.
func audit(tb testing.TB, t *Tables) {
	tb.Helper()
	if err := auditTables(t); err != nil {
		tb.Fatal(err)
	}
}

type tally struct{ active, inactive, persistent int64 }

func auditTables(t *Tables) error {
	want := map[uint32]tally{}
	holders := [2]map[uint32]uint32{{}, {}} // by family, by template slot
	for i, tb := range t.tables {
		if err := auditTable(t, tb, i, want, holders[i%2]); err != nil {
			return fmt.Errorf("table %d: %w", i, err)
		}
	}
	for n := range uint32(len(t.servers.count)) {
		c := t.Counts(n)
		if got := (tally{c.Active.Load(), c.Inactive.Load(), c.Persistent.Load()}); got != want[n] {
			return fmt.Errorf("server %d counts %+v, its entries are %+v", n, got, want[n])
		}
	}
	return nil
}

func auditTable(t *Tables, tb *table, kind int, want map[uint32]tally, held map[uint32]uint32) error {
	buckets := make([]uint32, len(tb.buckets))
	keys := map[Key]uint32{}
	live := int64(0)
	for n := range tb.slots() {
		id := tb.slot(n)[ident].Load()
		switch id & statusMask {
		case statusFree:
			continue
		case statusLive:
		default:
			return fmt.Errorf("slot %d has status %d", n, id&statusMask)
		}
		e, ok := tb.entry(n, id)
		k := tb.key(n, id)
		if other, twice := keys[k]; !ok || twice {
			return fmt.Errorf("slot %d: own life %v, key already in slot %d: %v", n, ok, other, twice)
		}
		keys[k] = n
		live++
		home := tb.home(tb.hash(&k))
		d := tb.distance(home, n/slotsPerBucket)
		if d < 0 {
			return fmt.Errorf("slot %d is out of reach of its home %d", n, home)
		}
		buckets[home] |= 1 << d
		if !t.directory.holds(e.Server()) {
			return fmt.Errorf("slot %d has server %#x, which is not in the directory", n, e.Server())
		}
		auditEntry(&e, kind, want, held)
	}
	if got := tb.live.Load(); got != live {
		return fmt.Errorf("%d entries are counted, %d are there", got, live)
	}
	for i := range buckets {
		if got := tb.buckets[i].Load(); got != buckets[i] {
			return fmt.Errorf("bucket word %d is %#x, its entries make %#x", i, got, buckets[i])
		}
	}
	if kind >= templates4 {
		return auditHolders(tb, held)
	}
	return nil
}

// auditEntry adds an entry to the tallies.
func auditEntry(e *Entry, kind int, want map[uint32]tally, held map[uint32]uint32) {
	number := service.ID(e.bind).Number()
	w := want[number]
	switch {
	case kind >= templates4:
		w.persistent++
	case e.State().Active():
		w.active++
	case e.State() != StateFragment:
		w.inactive++
	}
	want[number] = w
	if kind < templates4 && e.HasTemplate() {
		held[e.other()]++
	}
}

// auditHolders compares the templates' holders with the connections', which came first.
func auditHolders(tb *table, held map[uint32]uint32) error {
	for n := range tb.slots() {
		id := tb.slot(n)[ident].Load()
		if id&statusMask != statusLive {
			if held[n] != 0 {
				return fmt.Errorf("connections hold a template in slot %d, which is free", n)
			}
			continue
		}
		if e, _ := tb.entry(n, id); e.Holders() != held[n] {
			return fmt.Errorf("template in slot %d counts %d holders, there are %d", n, e.Holders(), held[n])
		}
	}
	return nil
}
