package affinity

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/xlvs/xlvs/service"
)

// fragmentKey is the key of the fragments of a client's packet.
func fragmentKey(n int, v6 bool, id uint32) (k Key) {
	t := client(n, v6)
	k.SetFragment(&t, id)
	return k
}

// TestFragment: a first fragment always decides, whatever an older packet of the same
// identification left, and its entry names the connection.
func TestFragment(t *testing.T) {
	config := Config{Connections4: 100, Connections6: 100, Servers: 4}
	tables, ids := format(t, heapMemory(config), config, 2)
	conns := &tables.Conns
	for _, v6 := range []bool{false, true} {
		var flows [2]Entry
		for i := range flows {
			k := clientKey(i, v6) // one address, two ports
			flows[i], _ = conns.Insert(conns.Hash(&k), &k, &ConnInit{Server: ids[i], State: StateTCPSynRecv, Timeout: 1000}, 1)
		}
		k := fragmentKey(0, v6, 7)
		h := conns.Hash(&k)
		wants := func(now Tick, server service.ID, flow *Entry) {
			t.Helper()
			e, ok := conns.Lookup(h, &k, now)
			if !ok || e.Server() != server || e.State() != StateFragment || e.HasTemplate() {
				t.Fatalf("at %d: %v %+v", now, ok, e)
			}
			c, ok := conns.Connection(&e, &k)
			if ok != (flow != nil) || ok && c != *flow {
				t.Errorf("at %d: connection %v %+v, want %+v", now, ok, c, flow)
			}
		}
		for i, step := range []struct {
			flow *Entry
			id   service.ID
			want Outcome
		}{{&flows[0], ids[0], Inserted}, {&flows[1], ids[1], Found}, {&Entry{}, ids[0], Found}, {&flows[1], ids[1], Found}} {
			now := Tick(10 + 100*i)
			if o := conns.SetFragment(h, &k, step.id, step.flow, now, 240); o != step.want {
				t.Errorf("fragment %d: %v", i, o)
			}
			flow := step.flow
			if !flow.Valid() {
				flow = nil
			}
			wants(now+239, step.id, flow)
		}
		if _, ok := conns.Lookup(h, &k, 550); ok {
			t.Error("outlives its time")
		}
		if o := conns.SetFragment(h, &k, ids[0], &flows[0], 600, 240); o != Inserted {
			t.Errorf("after its time: %v", o)
		}
		wants(600, ids[0], &flows[0])
		conns.Delete(&flows[0])
		wants(601, ids[0], nil)
		other := clientKey(16, v6) // takes the slot, or another: it is another client's in any case
		conns.Insert(conns.Hash(&other), &other, &ConnInit{Server: ids[1], State: StateTCPSynRecv, Timeout: 1000}, 1)
		wants(602, ids[0], nil)
	}
	audit(t, tables)
}

// TestFragmentsOfTwoWorkers: two workers set the same few fragments again and again, others
// read, and a sweeper sweeps: an entry that was set is there until its time, and always goes to
// one of the two servers.
func TestFragmentsOfTwoWorkers(t *testing.T) {
	config := Config{Connections4: 400, Connections6: 400, Servers: 4}
	tables, ids := format(t, heapMemory(config), config, 2)
	rounds := 100_000
	if raceDetector {
		rounds = 10_000
	}
	var workers sync.WaitGroup
	for w := range 2 {
		r := rand.New(rand.NewPCG(1, uint64(w)))
		workers.Go(func() {
			for i := range rounds {
				k := fragmentKey(0, r.IntN(2) == 0, uint32(r.IntN(8)))
				h := tables.Conns.Hash(&k)
				now := Tick(1 + i/1000)
				if o := tables.Conns.SetFragment(h, &k, ids[w], &Entry{}, now, 200); o > Found {
					t.Errorf("set: %v", o)
					return
				}
				e, ok := tables.Conns.Lookup(h, &k, now)
				if !ok || e.Server() != ids[0] && e.Server() != ids[1] {
					t.Errorf("found %v, server %d", ok, e.Server())
					return
				}
			}
		})
	}
	workers.Go(func() {
		for range 50 {
			pass(tables, 100)
		}
	})
	workers.Wait()
	audit(t, tables)
}
