package affinity

import (
	"sync"
	"testing"

	"github.com/xlvs/xlvs/service"
)

// establish makes n assured clients with template and connection.
func establish(t *testing.T, tables *Tables, n int, v6 bool, ids []service.ID) {
	t.Helper()
	for i := range n {
		k, nk := clientKey(i*16, v6), networkKey(i*16, v6)
		te, o := tables.Templates.Insert(tables.Templates.Hash(&nk), &nk, ids[i%len(ids)], 1, 1000)
		if o != Inserted {
			t.Fatalf("template of client %d: %v", i, o)
		}
		init := ConnInit{Server: te.Server(), State: StateTCPSynRecv, Timeout: 480}
		e, o := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &init, 1)
		if o != Inserted || !tables.establish(&e, 1, 7200) || !tables.Templates.Assure(&te) || !tables.Conns.Hold(&e, &te) {
			t.Fatalf("connection of client %d: %v", i, o)
		}
	}
}

// flood sends first packets of n invented addresses, counting outcomes.
func flood(tables *Tables, from, n int, v6 bool, id service.ID, outcomes *[4]int) {
	for i := from; i < from+n; i++ {
		k, nk := clientKey(i*16, v6), networkKey(i*16, v6)
		_, o := tables.Templates.Insert(tables.Templates.Hash(&nk), &nk, id, 2, 480)
		outcomes[o]++
		init := ConnInit{Server: id, State: StateTCPSynRecv, Timeout: 480}
		tables.Conns.Insert(tables.Conns.Hash(&k), &k, &init, 2)
	}
}

// TestFlood: first packets from twenty times as many invented addresses as the tables
// have room for cost no assured client its connection or its template, and the bounds hold.
func TestFlood(t *testing.T) {
	const clients = 1500
	config := Config{Connections4: 2000, Connections6: 2000, Templates4: 3000, Templates6: 3000, Servers: 16}
	tables, ids := format(t, heapMemory(config), config, 8)
	for _, v6 := range []bool{false, true} {
		establish(t, tables, clients, v6, ids)
		var outcomes [2][4]int
		var workers sync.WaitGroup
		for w := range 2 {
			workers.Go(func() { flood(tables, 100_000*(w+1), 20_000, v6, ids[w], &outcomes[w]) })
		}
		workers.Wait()
		for i := range clients {
			k, nk := clientKey(i*16, v6), networkKey(i*16, v6)
			e, ok := tables.Conns.Lookup(tables.Conns.Hash(&k), &k, 3)
			te, tok := tables.Templates.Lookup(tables.Templates.Hash(&nk), &nk, 3)
			if !ok || !tok || e.Server() != ids[i%8] || te.Server() != ids[i%8] || !te.Assured() {
				t.Fatalf("client %d, IPv6 %v: connection %v %#x, template %v %#x", i, v6, ok, e.Server(), tok, te.Server())
			}
		}
		if outcomes[0][Full]+outcomes[1][Full] > 0 {
			t.Errorf("IPv6 %v: templates refused: %v", v6, outcomes)
		}
	}
	audit(t, tables)
	s := tables.Stats()
	for _, ts := range []TableStats{s.Connections4, s.Connections6, s.Templates4, s.Templates6} {
		if ts.Live > ts.Capacity || ts.Evicted == 0 {
			t.Errorf("%+v", ts)
		}
	}
}

// TestFull: with lasting entries alone, a table is full at its capacity, says so, and
// has room as soon as one expires.
func TestFull(t *testing.T) {
	config := Config{Connections4: 1000, Templates4: 10, Servers: 16}
	tables, ids := format(t, heapMemory(config), config, 1)
	insert := func(n int, v6 bool, now Tick) Outcome {
		k := clientKey(n, v6)
		_, o := tables.Conns.Insert(tables.Conns.Hash(&k), &k,
			&ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: Lasting, Timeout: 100}, now)
		return o
	}
	for n := range 1000 {
		if o := insert(n, false, Tick(n/500)); o != Inserted {
			t.Fatalf("connection %d: %v", n, o)
		}
	}
	if o := insert(1000, false, 1); o != Full {
		t.Errorf("connection 1000 of 1000: %v", o)
	}
	if o := insert(0, true, 1); o != Full {
		t.Errorf("connection 0 of 0: %v", o)
	}
	if o := insert(1000, false, 100); o != Inserted {
		t.Errorf("with half of the entries expired: %v", o)
	}
	s := tables.Stats().Connections4
	if s.Live != 1000 || s.Full != 1 || s.Expired != 1 || s.Evicted != 0 {
		t.Errorf("%+v", s)
	}
	audit(t, tables)
}

// TestHeldTemplateStays: a template is never displaced while a connection holds it, and
// lives exactly as long as the later of its timer and its last connection.
func TestHeldTemplateStays(t *testing.T) {
	config := Config{Connections4: 100, Templates4: 1, Servers: 16}
	tables, ids := format(t, heapMemory(config), config, 1)
	k, nk, other := clientKey(0, false), networkKey(0, false), networkKey(16, false)
	h := tables.Templates.Hash(&nk)
	te, _ := tables.Templates.Insert(h, &nk, ids[0], 1, 10)
	conn, _ := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &ConnInit{Server: ids[0], State: StateTCPSynRecv, Timeout: 1000}, 1)
	if !tables.Conns.Hold(&conn, &te) {
		t.Fatal("not held")
	}
	there := func(now Tick) bool { _, ok := tables.Templates.Lookup(h, &nk, now); return ok }
	take := func(now Tick) Outcome {
		_, o := tables.Templates.Insert(tables.Templates.Hash(&other), &other, ids[0], now, 10)
		return o
	}
	for !tables.Sweep(500, 1000) {
	}
	if o := take(500); o != Full || !there(500) || tables.Templates.Delete(&te) {
		t.Errorf("a held template gave way: %v", o)
	}
	if !tables.Conns.Delete(&conn) || there(500) {
		t.Error("an expired template outlives its last connection")
	}
	if !there(5) {
		t.Error("a template ends before its timer")
	}
	if o := take(500); o != Inserted {
		t.Errorf("no room in place of an expired template: %v", o)
	}
	again, _ := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &ConnInit{Server: ids[0], State: StateTCPSynRecv, Timeout: 1000}, 1)
	if tables.Conns.Hold(&again, &te) || again.HasTemplate() {
		t.Error("a template that is gone was held")
	}
	audit(t, tables)
}
