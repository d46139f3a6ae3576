package affinity

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/xlvs/xlvs/service"
)

// TestWorkersAgree: two workers meet the first packets of the same 100,000 clients,
// in both families, each with a scheduler of its own that never chooses what the
// other's does. Whatever they find or insert, they agree on the server of
// every client, by template and by connection.
func TestWorkersAgree(t *testing.T) {
	const clients = 100_000
	config := Config{Connections4: clients, Connections6: clients, Templates4: clients, Templates6: clients, Servers: 16}
	tables, ids := format(t, mappedMemory(t, config), config, 2)
	for _, v6 := range []bool{false, true} {
		var chosen [2][clients][2]service.ID // by worker, client, template and connection
		var wins [2]atomic.Int64
		both(func(worker int) {
			for n := range clients {
				chosen[worker][n] = firstPacket(t, tables, n*16, v6, ids[worker], &wins[worker])
			}
		})
		for n := range clients {
			a, b := chosen[0][n], chosen[1][n]
			if a != b || a[0] != a[1] || a[0] == 0 {
				t.Fatalf("client %d, IPv6 %v: one worker has template and connection at %#x, the other at %#x", n, v6, a, b)
			}
		}
		if wins[0].Load()+wins[1].Load() != clients {
			t.Errorf("IPv6 %v: %d and %d templates inserted for %d clients", v6, wins[0].Load(), wins[1].Load(), clients)
		}
	}
	audit(t, tables)
}

// firstPacket does what a worker does with the first packet of a connection.
func firstPacket(t *testing.T, tables *Tables, n int, v6 bool, choice service.ID, wins *atomic.Int64) [2]service.ID {
	k, nk := clientKey(n, v6), networkKey(n, v6)
	h, nh := tables.Conns.Hash(&k), tables.Templates.Hash(&nk)
	if e, ok := tables.Conns.Lookup(h, &k, 1); ok {
		te, _ := tables.Templates.Lookup(nh, &nk, 1)
		return [2]service.ID{te.Server(), e.Server()}
	}
	te, ok := tables.Templates.Lookup(nh, &nk, 1)
	if !ok {
		var o Outcome
		te, o = tables.Templates.Insert(nh, &nk, choice, 1, 1000)
		if o == Inserted {
			wins.Add(1)
		}
	}
	init := ConnInit{Server: te.Server(), State: StateTCPSynRecv, Timeout: 1000}
	e, o := tables.Conns.Insert(h, &k, &init, 1)
	if o > Found {
		t.Errorf("client %d: %v", n, o)
	}
	return [2]service.ID{te.Server(), e.Server()}
}

// both runs f for two workers at once and waits for them.
func both(f func(worker int)) {
	var start, done sync.WaitGroup
	start.Add(1)
	for worker := range 2 {
		done.Go(func() {
			start.Wait()
			f(worker)
		})
	}
	start.Done()
	done.Wait()
}

// worker is one of several that share the tables. Its own connections nobody
// else touches, so that it knows what is there from a plain map; the shared ones everybody
// inserts and deletes, and a map with a lock says who was first.
type worker struct {
	t      *testing.T
	tables *Tables
	ids    []service.ID
	number int
	random *rand.Rand
	now    Tick
	own    map[Key]service.ID
	shared *shared
}

// shared is what all workers insert. Entries are never deleted here, so that
// the first server stands.
type shared struct {
	mu       sync.Mutex
	server   map[Key]service.ID
	inserted map[Key]int
}

func (w *worker) step() {
	k := clientKey(w.number*1000+w.random.IntN(1000), w.random.IntN(2) == 0)
	h := w.tables.Conns.Hash(&k)
	e, ok := w.tables.Conns.Lookup(h, &k, w.now)
	want, there := w.own[k]
	if ok != there || ok && e.Server() != want {
		w.t.Errorf("own connection: found %v at %#x, should be %v at %#x", ok, e.Server(), there, want)
	}
	switch w.random.IntN(4) {
	case 0:
		w.insertOwn(h, &k, there)
	case 1:
		if there && !w.tables.Conns.Delete(&e) {
			w.t.Errorf("own connection cannot be deleted")
		}
		delete(w.own, k)
	case 2:
		state := e.State() // a connection that was never assured does not come back from CLOSE
		if state != StateTCPClose {
			state = StateTCPNone + State(w.random.IntN(11))
		}
		if !there {
			break
		}
		if got, u := w.tables.Conns.Update(&e, &anyMove, event(state), w.now, lasting(100000)); u == Gone || got != state {
			w.t.Errorf("own connection cannot be updated: %v, is %v, should be %v", u, got, state)
		}
		if e, ok = w.tables.Conns.Lookup(h, &k, w.now); there && (!ok || e.State() != state) {
			w.t.Errorf("own connection is in %v, should be in %v", e.State(), state)
		}
	case 3:
		w.insertShared()
	}
}

func (w *worker) insertOwn(h Hash, k *Key, there bool) {
	server := w.ids[w.random.IntN(len(w.ids))]
	init := ConnInit{Server: server, State: StateTCPSynRecv, Timeout: 100000}
	e, o := w.tables.Conns.Insert(h, k, &init, w.now)
	switch {
	case o == Inserted && !there && e.Server() == server:
		w.own[*k] = server
	case o == Found && there && e.Server() == w.own[*k]:
	default:
		w.t.Errorf("insert own: %v, there before: %v", o, there)
	}
	w.holdTemplate(&e)
}

// holdTemplate lets a connection of the worker's own hold a template that others hold, too.
func (w *worker) holdTemplate(e *Entry) {
	nk := networkKey(16*w.random.IntN(3000), e.IPv6())
	nh, server := w.tables.Templates.Hash(&nk), w.ids[w.random.IntN(len(w.ids))]
	te, ok := w.tables.Templates.Lookup(nh, &nk, w.now)
	if !ok {
		te, _ = w.tables.Templates.Insert(nh, &nk, server, w.now, Tick(1+w.random.IntN(20)))
	}
	// It may have expired and been swept in between.
	if w.tables.Templates.Assure(&te) && w.tables.Conns.Hold(e, &te) && !e.HasTemplate() {
		w.t.Error("a connection that holds a template does not know it")
	}
	if w.random.IntN(8) == 0 {
		w.tables.Templates.Rebind(te, w.ids[w.random.IntN(len(w.ids))])
		w.tables.Templates.Refresh(&te, w.now, Tick(1+w.random.IntN(20)))
	}
}

func (w *worker) insertShared() {
	k := clientKey(1_000_000+w.random.IntN(2000), w.random.IntN(2) == 0)
	init := ConnInit{Server: w.ids[w.random.IntN(len(w.ids))], State: StateTCPSynRecv, Timeout: 100000}
	e, o := w.tables.Conns.Insert(w.tables.Conns.Hash(&k), &k, &init, w.now)
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	first, there := w.shared.server[k]
	if o == Inserted {
		w.shared.inserted[k]++
	}
	if o > Found || there && first != e.Server() || w.shared.inserted[k] > 1 {
		w.t.Errorf("insert shared: %v at %#x, was at %#x, %d times", o, e.Server(), first, w.shared.inserted[k])
	}
	w.shared.server[k] = e.Server()
}

// TestWorkersModel: several workers, a sweeper and a listing at once, each worker
// against its own model and all against a common one.
func TestWorkersModel(t *testing.T) {
	config := Config{Connections4: 12000, Connections6: 12000, Templates4: 3000, Templates6: 3000, Servers: 16}
	tables, ids := format(t, heapMemory(config), config, 8)
	common := &shared{server: map[Key]service.ID{}, inserted: map[Key]int{}}
	var clock atomic.Uint32
	clock.Store(^uint32(0) - 50) // it wraps
	var stop atomic.Bool
	var workers, helpers sync.WaitGroup
	for number := range 4 {
		w := &worker{t: t, tables: tables, ids: ids, number: number, own: map[Key]service.ID{},
			random: rand.New(rand.NewPCG(uint64(number), 7)), shared: common}
		workers.Go(func() {
			for steps := 0; steps < 8000 || !stop.Load(); steps++ {
				w.now = Tick(clock.Load())
				w.step()
			}
		})
	}
	helpers.Go(func() {
		for passes := 0; passes < 12; {
			if tables.Sweep(Tick(clock.Add(1)), 1000) {
				passes++
			}
		}
		stop.Store(true)
	})
	helpers.Go(func() {
		for !stop.Load() {
			listing(t, tables, common, Tick(clock.Load()))
		}
	})
	workers.Wait()
	helpers.Wait()
	audit(t, tables)
	if s := tables.Stats(); s.Connections4.Full+s.Connections6.Full != 0 || s.Templates4.Expired == 0 {
		t.Errorf("full or nothing expired: %+v", s)
	}
}

// listing checks that every shared connection that was there before a listing is shown
// once, with its server.
func listing(t *testing.T, tables *Tables, common *shared, now Tick) {
	want := map[Key]service.ID{}
	common.mu.Lock()
	for k, id := range common.server {
		want[k] = id
	}
	common.mu.Unlock()
	tables.Conns.Range(now, func(c Conn) bool {
		var k Key
		k.SetConn(&c.Tuple)
		if id, ok := want[k]; ok && id != c.Server {
			t.Errorf("listing: %v at %#x, should be at %#x", c.Tuple, c.Server, id)
		}
		delete(want, k)
		return true
	})
	if len(want) != 0 {
		t.Errorf("%d connections are missing in a listing", len(want))
	}
}
