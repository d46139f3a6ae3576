package affinity

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// keysAt returns n keys whose home is the bucket home.
func keysAt(tables *Tables, v6 bool, home uint32, n int) (keys []Key) {
	tb := tables.Conns.of(v6)
	for i := 0; len(keys) < n; i++ {
		if k := clientKey(i, v6); tb.home(tables.Conns.Hash(&k)) == home {
			keys = append(keys, k)
		}
	}
	return keys
}

// TestContendedSlots has two writers and two readers on the same few slots: each
// writer's keys have one home, and the homes are neighbours, so that they want each other's slots, and slots go from key
// to key at once. Readers never see words of two entries in one.
func TestContendedSlots(t *testing.T) {
	config := Config{Connections4: 100, Connections6: 100, Servers: 16}
	tables, ids := format(t, heapMemory(config), config, 16)
	rounds := 500_000
	if raceDetector {
		rounds = 30_000
	}
	for _, v6 := range []bool{false, true} {
		keys := append(keysAt(tables, v6, 7, 8), keysAt(tables, v6, 8, 8)...)
		hashes := make([]Hash, len(keys))
		for i := range keys {
			hashes[i] = tables.Conns.Hash(&keys[i])
		}
		// What a key's entry says is a function of the key, all words of it.
		sound := func(i int, e *Entry) bool {
			return e.Server() == ids[i] && e.State() == StateTCPNone+State(i%9) && e.Expiry() == Tick(1000+i)
		}
		var stop atomic.Bool
		var writers, readers sync.WaitGroup
		for w := range 2 {
			r := rand.New(rand.NewPCG(11, uint64(w)))
			writers.Go(func() {
				var there [16]bool
				for range rounds {
					i := r.IntN(8) + 8*w
					e, ok := tables.Conns.Lookup(hashes[i], &keys[i], 1)
					if ok != there[i] || ok && !sound(i, &e) {
						t.Errorf("key %d: %v, should be there: %v, %+v", i, ok, there[i], e)
						return
					}
					if ok {
						there[i] = !tables.Conns.Delete(&e)
					} else {
						init := ConnInit{Server: ids[i], State: StateTCPNone + State(i%9), Timeout: Tick(999 + i)}
						_, o := tables.Conns.Insert(hashes[i], &keys[i], &init, 1)
						there[i] = o == Inserted
					}
				}
			})
			readers.Go(func() {
				for i := 0; !stop.Load(); i = (i + 1) % len(keys) {
					if e, ok := tables.Conns.Lookup(hashes[i], &keys[i], 1); ok && !sound(i, &e) {
						t.Errorf("key %d: torn entry %v %v %d", i, e.Server(), e.State(), e.Expiry())
						return
					}
				}
			})
		}
		writers.Wait()
		stop.Store(true)
		readers.Wait()
	}
	audit(t, tables)
}

// TestRefreshedInTime: a template that was refreshed between the sweeper's look at it and
// its deletion stays, and can be held.
func TestRefreshedInTime(t *testing.T) {
	config := Config{Connections4: 10, Templates4: 10, Servers: 1}
	tables, ids := format(t, heapMemory(config), config, 1)
	nk, k := networkKey(0, false), clientKey(0, false)
	te, _ := tables.Templates.Insert(tables.Templates.Hash(&nk), &nk, ids[0], 1, 10)
	conn, _ := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &ConnInit{Server: ids[0], State: StateTCPSynRecv, Timeout: 10}, 20)
	tables.Templates.Refresh(&te, 20, 10) // the sweeper has found it expired before
	removed := tables.tables[templates4].remove(te.slot(), te.ident, due{now: 20})
	if removed {
		t.Fatal("a refreshed template was removed")
	}
	if !tables.Conns.Hold(&conn, &te) {
		t.Error("the template cannot be held")
	}
	audit(t, tables)
}
