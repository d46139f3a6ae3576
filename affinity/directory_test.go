package affinity

import (
	"net/netip"
	"testing"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// pass makes one whole pass of Sweep.
func pass(tables *Tables, now Tick) {
	for !tables.Sweep(now, 1000) {
	}
}

func TestDirectory(t *testing.T) {
	config := Config{Connections4: 10, Templates4: 10, Servers: 3}
	mem := heapMemory(config)
	tables, _ := format(t, mem, config, 0)
	keys := []service.Key{
		{Mark: 80}, {Mark: 80, IPv6: true},
		{Addr: netip.MustParseAddr("2001:db8::1"), Port: 443, Protocol: packet.UDP},
	}
	addr := netip.MustParseAddr("192.0.2.7")
	var ids []service.ID
	for _, k := range keys {
		id, err := tables.Assign(k, addr, 8080, service.Direct)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if _, err := tables.Assign(testService, addr, 1, service.Direct); err == nil {
		t.Error("a fourth server of three has a number")
	}
	tables.Release(ids[1])
	tables, err := Attach(mem, config)
	if err != nil {
		t.Fatal(err)
	}
	all := tables.Servers()
	if len(all) != 3 {
		t.Fatalf("%d servers", len(all))
	}
	for i, k := range keys {
		want := Server{ID: ids[i], Service: k, Addr: addr, Port: 8080, Released: i == 1}
		if got, ok := tables.Server(ids[i]); !ok || got != want || all[i] != want {
			t.Errorf("server %d: %+v, want %+v", i, got, want)
		}
		if id, err := tables.Assign(k, netip.MustParseAddr("::ffff:192.0.2.7"), 8080, service.Direct); err != nil || id != ids[i] {
			t.Errorf("server %d has ID %#x now, had %#x: %v", i, id, ids[i], err)
		}
	}
}

// TestNumberIsNotReusedWhileReferred: a released number is given out again, with another
// generation, only when two passes of Sweep met no entry of it.
func TestNumberIsNotReusedWhileReferred(t *testing.T) {
	config := Config{Connections4: 10, Templates4: 10, Servers: 1}
	tables, ids := format(t, heapMemory(config), config, 1)
	var k Key
	tuple := client(1, false)
	k.SetFragment(&tuple, 7)
	tables.Conns.SetFragment(tables.Conns.Hash(&k), &k, ids[0], &Entry{}, 1, 100)
	tables.Release(ids[0])
	again := netip.MustParseAddr("10.9.9.9")
	for range 5 {
		pass(tables, 50)
		if _, err := tables.Assign(testService, again, 80, service.Direct); err == nil {
			t.Fatal("a number was given out while an entry refers to it")
		}
	}
	if id := assign(t, tables, 1)[0]; id != ids[0] {
		t.Errorf("the same server came back as %#x, was %#x", id, ids[0])
	}
	tables.Release(ids[0])
	for range 4 {
		pass(tables, 200)
	}
	id, err := tables.Assign(testService, again, 80, service.Direct)
	if err != nil || id.Number() != ids[0].Number() || id.Generation() != ids[0].Generation()+1 {
		t.Errorf("new server has %#x, the old one had %#x: %v", id, ids[0], err)
	}
	if _, ok := tables.Server(ids[0]); ok {
		t.Error("the old ID is still in the directory")
	}
	tables.Release(service.MakeID(1, 77)) // not in the directory: no effect
	if s, _ := tables.Server(id); s.Released {
		t.Error("an unknown ID released another server")
	}
}

// TestThresholds follows ip_vs_dest_update_overload: set at the upper threshold, cleared
// below the lower one, or below three quarters of the upper one.
func TestThresholds(t *testing.T) {
	config := Config{Connections4: 100, Templates4: 1, Servers: 1}
	tables, ids := format(t, heapMemory(config), config, 1)
	number := ids[0].Number()
	var conns []Entry
	set := func(n int) bool {
		for len(conns) < n {
			k := clientKey(len(conns), false)
			e, _ := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &ConnInit{Server: ids[0], State: StateTCPNone + State(len(conns)%5), Timeout: 100}, 1)
			conns = append(conns, e)
		}
		for len(conns) > n {
			tables.Conns.Delete(&conns[len(conns)-1])
			conns = conns[:len(conns)-1]
		}
		return tables.Counts(number).Overloaded.Load()
	}
	check := func(connections int, want bool) {
		t.Helper()
		if got := set(connections); got != want {
			t.Errorf("overloaded with %d connections: %v", connections, got)
		}
	}
	check(20, false)
	tables.SetThresholds(number, 30, 0)
	check(29, false)
	check(30, true)
	check(23, true)
	check(22, false)
	tables.SetThresholds(number, 30, 10)
	check(30, true)
	check(10, true)
	check(9, false)
	check(30, true)
	tables.SetThresholds(number, 31, 10)
	if tables.Counts(number).Overloaded.Load() {
		t.Error("still overloaded below a raised threshold")
	}
	check(31, true)
	tables.SetThresholds(number, 0, 0)
	check(31, false)
	check(40, false)
	audit(t, tables)
}

// TestMethodIsIdentity: a server with another forwarding method is another server, so that what
// lives goes on as it began.
func TestMethodIsIdentity(t *testing.T) {
	config := Config{Connections4: 10, Templates4: 10, Servers: 3}
	mem := heapMemory(config)
	tables, _ := format(t, mem, config, 0)
	addr := netip.MustParseAddr("192.0.2.7")
	assign := func(method service.ForwardingMethod) service.ID {
		t.Helper()
		id, err := tables.Assign(testService, addr, 80, method)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	direct, other := assign(service.Direct), assign(service.Direct+2)
	if direct == other {
		t.Fatal("one number for two methods")
	}
	var err error
	if tables, err = Attach(mem, config); err != nil {
		t.Fatal(err)
	}
	if assign(service.Direct) != direct || assign(service.Direct+2) != other {
		t.Error("other numbers after a restart")
	}
	if s, ok := tables.Server(other); !ok || s.Method != service.Direct+2 {
		t.Errorf("%+v", s)
	}
}

// TestOverloadedEnds: however workers come together, a server with no connection is not
// overloaded: nothing would ever clear the flag.
func TestOverloadedEnds(t *testing.T) {
	rounds := 60_000
	if raceDetector {
		rounds = 10_000
	}
	s := newServers(1)
	s.thresholds[1].Store(1 << 32)
	work := func(times int) func() {
		return func() {
			for range times {
				s.account(1, StateUDP, +1)
				s.account(1, StateUDP, -1)
			}
		}
	}
	lockstep(rounds, func() {}, work(3), work(2), func() bool {
		if s.counts(1).Overloaded.Load() != (s.counts(1).Inactive.Load() > 0) {
			t.Errorf("%d connections, overloaded %v", s.counts(1).Inactive.Load(), s.counts(1).Overloaded.Load())
			return false
		}
		return true
	})
}
