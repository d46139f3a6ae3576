package affinity

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
	"pgregory.net/rapid"
)

// seen is what a test remembers of an entry in a slot.
type seen struct {
	key   Key
	grade Grade
	idle  uint32
	over  bool // expired
}

// snapshot notes all entries of a table by slot.
func (t *table) snapshot(now Tick) map[uint32]seen {
	all := map[uint32]seen{}
	for n := range t.slots() {
		id := t.slot(n)[ident].Load()
		if id&statusMask != statusLive {
			continue
		}
		e, _ := t.entry(n, id)
		all[n] = seen{t.key(n, id), e.Grade(), t.idle(&e, now), expired(e.life, now)}
	}
	return all
}

// first reports whether s gives way before other, or with it.
func (s seen) first(other seen) bool {
	return s.grade < other.grade || s.grade == other.grade && s.idle >= other.idle
}

// TestMakesRoom fills a small table at random and inserts what it has no room for: at most one
// entry goes, the one that the rules name, and if none may go the newcomer is refused.
func TestMakesRoom(t *testing.T) {
	config := Config{Connections4: 60, Connections6: 60, Servers: 4}
	mem := heapMemory(config)
	rapid.Check(t, func(r *rapid.T) {
		tables, ids := format(t, mem, config, 2)
		tables.SetTimeouts(ids[0].Number(), lasting(800))
		tables.SetTimeouts(ids[1].Number(), lasting(1600))
		v6 := rapid.Bool().Draw(r, "ipv6")
		lowest := Grade(rapid.IntRange(0, 5).Draw(r, "lowest grade"))
		insert := func(n int, grade Grade, now Tick) Outcome {
			k, server := clientKey(n*16, v6), n%2
			init := ConnInit{Server: ids[server], State: StateTCPEstablished, Grade: grade, Timeout: 800 << server}
			_, o := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &init, now)
			return o
		}
		for n := range 60 {
			grade := Grade(rapid.IntRange(int(lowest), int(MaxGrade)).Draw(r, "grade"))
			if o := insert(n, grade, Tick(rapid.IntRange(0, 700).Draw(r, "heard"))); o != Inserted {
				r.Fatalf("entry %d: %v", n, o)
			}
		}
		tb := tables.Conns.of(v6)
		for n := range 20 {
			now := Tick(700 + 60*n)
			before := tb.snapshot(now)
			o := insert(1000+n, Unassured, now)
			checkVictim(r, before, tb.snapshot(now), o)
		}
		if err := auditTables(tables); err != nil {
			r.Fatal(err)
		}
	})
}

// checkVictim compares what a table had before an insertion and has after it.
func checkVictim(r *rapid.T, before, after map[uint32]seen, o Outcome) {
	var gone []uint32
	for n, s := range before {
		if now, ok := after[n]; !ok || now.key != s.key {
			gone = append(gone, n)
		}
	}
	if o == Full {
		for _, s := range before {
			if len(gone) > 0 || s.grade < Lasting || s.over {
				r.Fatalf("refused, though %+v could go; %d went", s, len(gone))
			}
		}
		return
	}
	if o != Inserted || len(gone) != 1 {
		r.Fatalf("%v, and %d entries went", o, len(gone))
	}
	victim := before[gone[0]]
	if victim.over {
		return
	}
	if victim.grade >= Lasting {
		r.Fatalf("%+v went", victim)
	}
	for n, s := range before {
		// The whole table is searched for what is assured; among the unassured, some buckets.
		near := n/slotsPerBucket == gone[0]/slotsPerBucket
		if (victim.grade != Unassured || near || s.grade > victim.grade) && !victim.first(s) && !s.over {
			r.Fatalf("%+v went, and %+v stays", victim, s)
		}
	}
}

// TestFullRefuses: a table with nothing that gives way looks for room some times in a tick and
// then no more, until an entry goes or the next tick comes.
func TestFullRefuses(t *testing.T) {
	config := Config{Connections4: 500, Templates4: 20, Servers: 4}
	tables, ids := format(t, heapMemory(config), config, 1)
	var last Entry
	for n := range 500 {
		k := clientKey(n*16, false)
		last, _ = tables.Conns.Insert(tables.Conns.Hash(&k), &k,
			&ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: Lasting, Timeout: 1000}, 1)
	}
	insert := func(n int, now Tick) Outcome {
		k := clientKey(n*16, false)
		_, o := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &ConnInit{Server: ids[0], State: StateTCPSynRecv, Timeout: 1000}, now)
		return o
	}
	tb := tables.tables[connections4]
	for now := Tick(5); now < 8; now++ {
		for n := range 1000 {
			if o := insert(1000+n, now); o != Full {
				t.Fatalf("tick %d, newcomer %d: %v", now, n, o)
			}
			if refuses := tb.refuses(now); refuses != (n+1 >= int(Lasting)*searches) {
				t.Fatalf("tick %d: after %d newcomers it refuses without looking: %v", now, n+1, refuses)
			}
		}
		if o := insert(3, now); o != Found {
			t.Errorf("tick %d: a known connection: %v", now, o)
		}
	}
	tables.Conns.Delete(&last)
	if o := insert(5000, 7); o != Inserted {
		t.Errorf("after one has gone: %v", o)
	}
	if s := tables.Stats().Connections4; s.Full != 3000 || s.Evicted != 0 || s.Live != 500 {
		t.Errorf("%+v", s)
	}
	audit(t, tables)
}

// TestIdleAge: who was heard last stays, whatever its timeout and state say about its end.
func TestIdleAge(t *testing.T) {
	config := Config{Connections4: 2, Servers: 1}
	tables, ids := format(t, heapMemory(config), config, 1)
	tables.SetTimeouts(ids[0].Number(), &ipvsTimeouts)
	insert := func(n int, state State, now Tick) {
		t.Helper()
		k := clientKey(n*16, false)
		init := ConnInit{Server: ids[0], State: state, Grade: 2, Timeout: ipvsTimeouts[state]}
		if _, o := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &init, now); o != Inserted {
			t.Fatalf("client %d: %v", n, o)
		}
	}
	there := func(n int, now Tick) *Entry {
		k := clientKey(n*16, false)
		e, ok := tables.Conns.Lookup(tables.Conns.Hash(&k), &k, now)
		return map[bool]*Entry{true: &e}[ok]
	}
	insert(1, StateTCPEstablished, 8) // ends long after the other, and is idle for longer
	insert(2, StateTCPSynRecv, 400)
	insert(3, StateTCPSynRecv, 480)
	if there(1, 480) != nil || there(2, 480) == nil {
		t.Error("the one that was heard last gave way")
	}
	// One that was reset keeps its time: it counts from when it was heard.
	tables.Conns.Delete(there(2, 480))
	insert(4, StateTCPEstablished, 488)
	tables.Conns.Update(there(4, 490), &inputOnly, evRst, 490, &ipvsTimeouts)
	insert(5, StateTCPSynRecv, 496)
	if there(3, 496) != nil || there(4, 496) == nil {
		t.Error("a connection that was reset counts as idle for ever")
	}
	insert(6, StateTCPSynRecv, 560)
	if there(4, 560) != nil || there(5, 560) == nil {
		t.Error("a connection that was reset counts as heard for ever")
	}
}

// TestHeardInTime: a victim that was heard between the search and its removal stays.
func TestHeardInTime(t *testing.T) {
	o := newOne(t, client(1, false), ConnInit{State: StateTCPSynRecv})
	tb := o.tables.tables[connections4]
	v := victim{Entry: *o.entry()}
	o.packet(evAck)
	home := tb.home(o.tables.Conns.Hash(&o.key))
	b := tb.lock(home)
	gone := tb.displace(home, &b, &v, o.now)
	tb.unlock(home, b)
	if gone || !o.entry().Assured() {
		t.Error("it gave way")
	}
	audit(t, o.tables)
}

// portKey is the key of a connection of one client port to one of many virtual ports.
func portKey(n int, v6 bool) (k Key) {
	t := client(3, v6)
	t.DstPort = uint16(n)
	k.SetConn(&t)
	return k
}

// sidesOf counts the connections of that client port, by whether they are assured.
func sidesOf(tables *Tables, v6 bool, now Tick) (unassured, assured int) {
	mine := client(3, v6)
	tables.Conns.Range(now, func(c Conn) bool {
		switch {
		case c.Tuple.Src != mine.Src || c.Tuple.SrcPort != mine.SrcPort:
		case c.Grade == Unassured:
			unassured++
		default:
			assured++
		}
		return true
	})
	return unassured, assured
}

// crowdedTables are tables in which the neighbours have what they have at the design load.
func crowdedTables(t *testing.T, v6 bool) (*Tables, []service.ID) {
	t.Helper()
	config := Config{Connections4: 600, Connections6: 700, Servers: 4}
	tables, ids := format(t, heapMemory(config), config, 2)
	for n := range 400 {
		k := clientKey(16*(n+100), v6)
		init := ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: Assured, Timeout: 1000}
		if _, o := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &init, 1); o != Inserted {
			t.Fatal(o)
		}
	}
	return tables, ids
}

// neighboursStay fails the test if one of them is gone.
func neighboursStay(t *testing.T, tables *Tables, v6 bool) {
	t.Helper()
	for n := range 400 {
		k := clientKey(16*(n+100), v6)
		if _, ok := tables.Conns.Lookup(tables.Conns.Hash(&k), &k, 2); !ok {
			t.Fatalf("neighbour %d gave way", n)
		}
	}
	audit(t, tables)
}

// TestFirstPacketsOfOnePort: a client that sends first packets from one port to everything
// has eight connections of it at a time, the last ones, and displaces no one else's.
func TestFirstPacketsOfOnePort(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		tables, ids := crowdedTables(t, v6)
		tables.SetTimeouts(ids[0].Number(), lasting(1000))
		for n := range 3000 {
			k, now := portKey(n, v6), Tick(10+n/4)
			init := ConnInit{Server: ids[0], State: StateTCPSynRecv, Timeout: 1000}
			if _, o := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &init, now); o != Inserted {
				t.Fatalf("packet %d: %v", n, o)
			}
			if un, _ := sidesOf(tables, v6, now); un != min(n+1, unassuredByPort) {
				t.Fatalf("%d after packet %d", un, n)
			}
			if old := portKey(n-12, v6); n >= 12 { // of an earlier tick than the last eight
				if _, ok := tables.Conns.Lookup(tables.Conns.Hash(&old), &old, now); ok {
					t.Fatalf("packet %d: that of packet %d is there still", n, n-12)
				}
			}
		}
		neighboursStay(t, tables, v6)
	}
}

// TestConnectionsOfOnePort: as many as there are places for; then the one that gives way first
// does, and of lasting ones none, so that the newcomer is refused.
func TestConnectionsOfOnePort(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		tables, ids := crowdedTables(t, v6)
		tables.SetTimeouts(ids[0].Number(), lasting(1000))
		insert := func(n int, grade Grade, now Tick) Outcome {
			k := portKey(n, v6)
			_, o := tables.Conns.Insert(tables.Conns.Hash(&k), &k,
				&ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: grade, Timeout: 1000}, now)
			return o
		}
		for n := range 500 {
			if o := insert(n, Assured, Tick(10+n)); o != Inserted {
				t.Fatalf("connection %d: %v", n, o)
			}
		}
		_, places := sidesOf(tables, v6, 500)
		if places < 30 || places > probes*slotsPerBucket {
			t.Errorf("%d connections of one port", places)
		}
		for n := range places { // those that were heard last
			k := portKey(499-n, v6)
			if _, ok := tables.Conns.Lookup(tables.Conns.Hash(&k), &k, 510); !ok {
				t.Errorf("connection %d gave way to older ones", 499-n)
			}
		}
		neighboursStay(t, tables, v6)
		for n := range places {
			if o := insert(1000+n, Lasting, Tick(600+n)); o != Inserted {
				t.Fatalf("lasting connection %d: %v", n, o)
			}
		}
		if o := insert(2000, Assured, 700); o != PortFull {
			t.Errorf("newcomer: %v", o)
		}
		s := tables.Stats()
		if got := s.Connections4.PortFull + s.Connections6.PortFull; got != 1 {
			t.Errorf("%d refused", got)
		}
		neighboursStay(t, tables, v6)
	}
}

// TestFloodOfTwoPackets: a table is full of sources that were invented and answered once,
// and more of them come all the time. Of the established clients none is lost, and of
// those that come during it, with a packet in two seconds, one in twenty.
func TestFloodOfTwoPackets(t *testing.T) {
	const established, newcomers = 600, 200
	config := Config{Connections4: 2000, Servers: 4}
	tables, ids := format(t, heapMemory(config), config, 1)
	tables.SetTimeouts(ids[0].Number(), &ipvsTimeouts)
	f := &twoPackets{t: t, tables: tables, server: ids[0], random: rand.New(rand.NewPCG(3, 4))}
	for n := range established {
		k := clientKey(n*16, false)
		init := ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: Lasting, Timeout: 7200}
		tables.Conns.Insert(tables.Conns.Hash(&k), &k, &init, 100)
	}
	for f.now = 100; f.now < 60*TicksPerSecond; f.now++ {
		f.attack(13) // in one tick; in 19 seconds as many as the table has entries
	}
	served, opened := 0, map[int]Tick{}
	for n := 0; n < newcomers || len(opened) > 0; f.now++ {
		f.attack(13)
		if n < newcomers && f.now%2 == 0 {
			f.open(1000+n, f.now)
			opened[1000+n] = f.now
			n++
		}
		for c, at := range opened {
			age := f.now - at
			switch ok := f.alive(c); {
			case age >= 30*TicksPerSecond:
				delete(opened, c)
				if ok {
					served++
				}
			case ok && (age == 1 || age%(2*TicksPerSecond) == 0):
				f.hear(c)
			}
		}
	}
	if served < newcomers*95/100 {
		t.Errorf("%d of %d new clients served", served, newcomers)
	}
	for n := range established {
		if !f.alive(n) {
			t.Fatalf("established client %d is gone", n)
		}
	}
	audit(t, tables)
}

// twoPackets is the flood of that test, and the clients beside it.
type twoPackets struct {
	t      *testing.T
	tables *Tables
	server service.ID
	random *rand.Rand
	now    Tick
	next   int
}

// attack has some sources come, each with two packets.
func (f *twoPackets) attack(sources int) {
	for range sources {
		f.next++
		f.open(100_000+f.next, f.now)
		f.hear(100_000 + f.next)
	}
}

func (f *twoPackets) key(n int) (h Hash, k Key) {
	k = clientKey(n*16, false)
	return f.tables.Conns.Hash(&k), k
}

func (f *twoPackets) open(n int, now Tick) {
	h, k := f.key(n)
	f.tables.Conns.Insert(h, &k, &ConnInit{Server: f.server, State: StateTCPSynRecv, Timeout: 480}, now)
}

func (f *twoPackets) alive(n int) bool {
	h, k := f.key(n)
	_, ok := f.tables.Conns.Lookup(h, &k, f.now)
	return ok
}

func (f *twoPackets) hear(n int) {
	h, k := f.key(n)
	if e, ok := f.tables.Conns.Lookup(h, &k, f.now); ok {
		f.tables.Conns.Update(&e, &inputOnly, evAck, f.now, &ipvsTimeouts)
	}
}

// TestSingleDatagramsGiveWay: a table full of single datagrams, and 500 handshakes while a
// fifth of it is turned over: next to none is lost before its ACK (they were 39 %).
func TestSingleDatagramsGiveWay(t *testing.T) {
	const room = 5000
	config := Config{Connections4: room, Servers: 4}
	tables, ids := format(t, heapMemory(config), config, 1)
	tables.SetTimeouts(ids[0].Number(), &ipvsTimeouts)
	datagram := func(n int, now Tick) {
		tuple := client(16*(1000+n), false)
		tuple.Protocol = packet.UDP
		var k Key
		k.SetConn(&tuple)
		tables.Conns.Insert(tables.Conns.Hash(&k), &k, &ConnInit{Server: ids[0], State: StateUDP, Timeout: 2400}, now)
	}
	for n := range 2 * room {
		datagram(n, Tick(100+n/50))
	}
	lost := 0
	for n := range 500 {
		k := clientKey(n, false)
		h := tables.Conns.Hash(&k)
		now := Tick(300 + n) // a round trip of an eighth of a second
		tables.Conns.Insert(h, &k, &ConnInit{Server: ids[0], State: StateTCPSynRecv, Timeout: 480}, now)
		for i := range room / 5 {
			datagram(10*room+n*room+i, now)
		}
		if _, ok := tables.Conns.Lookup(h, &k, now+1); !ok {
			lost++
		}
	}
	if lost > 15 {
		t.Errorf("%d of 500 handshakes lost", lost)
	}
}

// TestRoomForManyWorkers: workers that send all kinds of floods into small tables, and a sweeper,
// displace each other's entries. The lasting clients stay, the bounds hold, and every word is in
// order afterwards.
func TestRoomForManyWorkers(t *testing.T) {
	const clients = 500
	rounds := 40_000
	if raceDetector {
		rounds = 4_000
	}
	for _, v6 := range []bool{false, true} {
		config := Config{Connections4: 900, Connections6: 900, Templates4: 600, Templates6: 600, Servers: 4}
		tables, ids := format(t, heapMemory(config), config, 2)
		tables.SetTimeouts(ids[0].Number(), &ipvsTimeouts)
		establish(t, tables, clients, v6, ids)
		for n := range clients {
			k := clientKey(n*16, v6)
			e, _ := tables.Conns.Lookup(tables.Conns.Hash(&k), &k, 1)
			word := &tables.Conns.of(v6).slot(e.slot())[life]
			word.Store(word.Load() | uint64(Lasting)<<lifeGrade)
		}
		var workers sync.WaitGroup
		for number := range 4 {
			r := rand.New(rand.NewPCG(5, uint64(number)))
			workers.Go(func() {
				for i := range rounds {
					floodStep(tables, ids, v6, r, Tick(10+i/200))
				}
			})
		}
		workers.Go(func() {
			for i := range 40 {
				pass(tables, Tick(10+i))
			}
		})
		workers.Wait()
		for n := range clients {
			k, nk := clientKey(n*16, v6), networkKey(n*16, v6)
			e, ok := tables.Conns.Lookup(tables.Conns.Hash(&k), &k, 300)
			te, tok := tables.Templates.Lookup(tables.Templates.Hash(&nk), &nk, 300)
			if !ok || !tok || e.Server() != te.Server() || !e.HasTemplate() {
				t.Fatalf("IPv6 %v: client %d: %v %v", v6, n, ok, tok)
			}
		}
		audit(t, tables)
		const most = 900 + 900/fragmentShare // fragments included
		if s := tables.Stats(); s.Connections4.Live > most || s.Connections6.Live > most {
			t.Errorf("%+v", s)
		}
	}
}

// floodStep is one sender of a flood: first packets of a new client or of one port, senders that
// come twice and get a template, fragments.
func floodStep(tables *Tables, ids []service.ID, v6 bool, r *rand.Rand, now Tick) {
	n, id := 16*(10_000+r.IntN(100_000)), ids[r.IntN(2)]
	k := clientKey(n, v6)
	kind := r.IntN(5)
	switch kind {
	case 0:
		k = portKey(r.IntN(60_000), v6)
	case 1:
		k = fragmentKey(n, v6, r.Uint32N(1000))
		tables.Conns.SetFragment(tables.Conns.Hash(&k), &k, id, &Entry{}, now, 240)
		return
	}
	init := ConnInit{Server: id, State: StateTCPSynRecv, Timeout: 480}
	e, o := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &init, now)
	if o > Found || kind < 3 {
		return
	}
	if _, u := tables.Conns.Update(&e, &inputOnly, evAck, now, &ipvsTimeouts); u != Became {
		return
	}
	nk := networkKey(n, v6)
	te, _ := tables.Templates.Insert(tables.Templates.Hash(&nk), &nk, id, now, 300)
	if te.Valid() && te.Server() == id && (kind == 3 || tables.Templates.Assure(&te)) {
		tables.Conns.Hold(&e, &te)
	}
	if r.IntN(2) == 0 {
		tables.Conns.Delete(&e)
	}
}
