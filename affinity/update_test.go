package affinity

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/xlvs/xlvs/packet"
)

// What the events of these tests mean.
const (
	evSyn Event = iota
	evAck
	evFin
	evRst
)

// inputOnly is a few rows of the table for direct routing.
var inputOnly = func() (m Moves) {
	m[StateTCPSynRecv] = [MaxEvents]State{evAck: StateTCPEstablished}
	m[StateTCPEstablished] = [MaxEvents]State{evFin: StateTCPFinWait, evRst: StateTCPClose}
	m[StateTCPFinWait] = [MaxEvents]State{evSyn: StateTCPSynRecv, evRst: StateTCPClose}
	m[StateTCPClose] = [MaxEvents]State{evSyn: StateTCPSynRecv, evAck: StateTCPEstablished}
	return m
}()

// ipvsTimeouts are IPVS's, of those states.
var ipvsTimeouts = Timeouts{
	StateNone: 300 * 8, StateTCPSynRecv: 60 * 8, StateTCPEstablished: 900 * 8, StateTCPFinWait: 120 * 8,
	StateTCPClose: 10 * 8, StateUDP: 300 * 8, StateFragment: 30 * 8,
}

// one is tables with one connection.
type one struct {
	t      *testing.T
	tables *Tables
	key    Key
	now    Tick
}

func newOne(t *testing.T, tuple packet.Tuple, init ConnInit) *one {
	t.Helper()
	config := Config{Connections4: 100, Connections6: 100, Templates4: 10, Templates6: 10, Servers: 4}
	tables, ids := format(t, heapMemory(config), config, 1)
	o := &one{t: t, tables: tables, now: 8000}
	o.key.SetConn(&tuple)
	init.Server = ids[0]
	init.Timeout = max(480, ipvsTimeouts[init.State])
	if _, outcome := tables.Conns.Insert(tables.Conns.Hash(&o.key), &o.key, &init, o.now); outcome != Inserted {
		t.Fatal(outcome)
	}
	return o
}

func (o *one) entry() *Entry {
	o.t.Helper()
	e, ok := o.tables.Conns.Lookup(o.tables.Conns.Hash(&o.key), &o.key, o.now)
	if !ok {
		o.t.Fatal("the connection is gone")
	}
	return &e
}

// packet has packets come, and returns the state after the last.
func (o *one) packet(events ...Event) State {
	o.t.Helper()
	e := o.entry()
	for _, ev := range events {
		o.tables.Conns.Update(e, &inputOnly, ev, o.now, &ipvsTimeouts)
	}
	return o.entry().State()
}

// lockstep has two workers do something at the same moment, again and again, each in turn a
// little later than the other. reset comes before each round, check after it.
func lockstep(rounds int, reset, one, other func(), check func() bool) {
	var begun, done atomic.Int64
	await := func(word *atomic.Int64, round int64) {
		for spins := 1; word.Load() < round; spins++ {
			if spins%1000 == 0 {
				runtime.Gosched()
			}
		}
	}
	linger := func(times int64) {
		for range times {
			done.Load()
		}
	}
	go func() {
		for round := int64(1); round <= int64(rounds); round++ {
			await(&begun, round)
			linger(round % 64)
			other()
			done.Store(round)
		}
	}()
	for round := int64(1); round <= int64(rounds); round++ {
		reset()
		begun.Store(round)
		linger(round / 64 % 256)
		one()
		await(&done, round)
		if !check() {
			begun.Store(int64(rounds)) // lets the other one end
			return
		}
	}
}

// TestMovesOfTwoWorkers: a FIN on one worker and acknowledgements on another end in FIN_WAIT,
// whichever comes first, and neither works with what the other has changed.
func TestMovesOfTwoWorkers(t *testing.T) {
	rounds := 20_000
	if raceDetector {
		rounds = 2_000
	}
	o := newOne(t, client(1, false), ConnInit{State: StateTCPEstablished, Grade: Assured})
	for range rounds {
		e := o.entry()
		var workers sync.WaitGroup
		for _, ev := range []Event{evFin, evAck} {
			mine := *e // each worker has looked it up before the other wrote
			workers.Go(func() {
				for i := range Tick(4) { // writes each time
					o.tables.Conns.Update(&mine, &inputOnly, ev, o.now+(i+1)*TicksPerSecond, &ipvsTimeouts)
				}
			})
		}
		workers.Wait()
		if got := o.entry().State(); got != StateTCPFinWait {
			t.Fatalf("%v after FIN and ACK", got)
		}
		if got := o.packet(evSyn, evAck); got != StateTCPEstablished {
			t.Fatal(got)
		}
		o.now += 10 * TicksPerSecond
	}
	audit(t, o.tables)
}

// TestAssured: what assures a connection, and that it is told once.
func TestAssured(t *testing.T) {
	udp, sctp, tcp := client(1, false), client(1, false), client(1, false)
	udp.Protocol, sctp.Protocol = packet.UDP, packet.SCTP
	for _, c := range []struct {
		what  string
		tuple packet.Tuple
		state State
		event Event
		want  Updated
	}{
		{"a second SYN", tcp, StateTCPSynRecv, event(StateTCPSynRecv), Kept},
		{"the ACK", tcp, StateTCPSynRecv, event(StateTCPEstablished), Became},
		{"a FIN straight after SYN", tcp, StateTCPSynRecv, event(StateTCPTimeWait), Became},
		{"a SYN ACK of NAT", tcp, StateTCPSynRecv, event(StateTCPSynAck), Kept},
		{"a second datagram", udp, StateUDP, stay, Became},
		{"a second INIT", sctp, StateSCTPInit1, event(StateSCTPInit), Kept},
		{"COOKIE ECHO", sctp, StateSCTPInit, event(StateSCTPCookieEchoed), Kept},
		{"DATA", sctp, StateSCTPCookieEchoed, event(StateSCTPEstablished), Became},
		{"ABORT", sctp, StateSCTPInit, event(StateSCTPClosed), Became},
	} {
		o := newOne(t, c.tuple, ConnInit{State: c.state})
		e := o.entry()
		timeouts := lasting(800)
		_, u := o.tables.Conns.Update(e, &anyMove, c.event, o.now, timeouts)
		if u != c.want || o.entry().Assured() != (c.want == Became) {
			t.Errorf("%s: %v, grade %d", c.what, u, o.entry().Grade())
		}
		if _, again := o.tables.Conns.Update(e, &anyMove, c.event, o.now, timeouts); again != Kept {
			t.Errorf("%s once more: %v", c.what, again)
		}
	}
}

// TestGradeRises: a connection that sends each second comes to grade 4 in 14 seconds and
// to 7 in 126, on the average; one that sends as much as it can in two seconds does not.
func TestGradeRises(t *testing.T) {
	clients := 2000
	if raceDetector {
		clients = 500
	}
	config := Config{Connections4: uint32(clients), Templates4: 1, Servers: 1}
	tables, ids := format(t, heapMemory(config), config, 1)
	entries := make([]Entry, clients)
	for i := range entries {
		k := clientKey(i, false)
		entries[i], _ = tables.Conns.Insert(tables.Conns.Hash(&k), &k,
			&ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: Assured, Timeout: 7200}, 100)
	}
	var reached [MaxGrade + 1]float64 // sum of seconds until a grade
	for second := range Tick(1500) {
		for i := range entries {
			for range 3 { // more in one second change nothing
				e := &entries[i]
				before := e.Grade()
				tables.Conns.Update(e, &inputOnly, evAck, 108+second*TicksPerSecond, &ipvsTimeouts)
				if after := e.Grade(); after != before {
					if after != before+1 {
						t.Fatalf("from grade %d to %d", before, after)
					}
					reached[after] += float64(second + 1)
				}
			}
		}
	}
	for grade, want := range map[Grade]float64{2: 2, 3: 6, Lasting: 14, MaxGrade: 126} {
		if got := reached[grade] / float64(clients); math.Abs(got-want) > want/6 {
			t.Errorf("grade %d after %.1f seconds, want %v", grade, got, want)
		}
	}
	for i := range entries {
		if entries[i].Grade() != MaxGrade {
			t.Fatalf("grade %d after 1500 seconds", entries[i].Grade())
		}
	}
}

// TestBurstsDoNotRaise: thousands of packets at once, of whatever kinds, raise no grade
// beyond that of two; nor does one that changes the state each time, for however long.
func TestBurstsDoNotRaise(t *testing.T) {
	for n := range 20 {
		o := newOne(t, client(n, false), ConnInit{State: StateTCPSynRecv})
		for range 100 * TicksPerSecond {
			o.now += Tick(n & 1)
			o.packet(evAck, evAck, evFin, evFin, evSyn, evAck, evRst, evRst, evAck)
			if got := o.entry().Grade(); got != Assured {
				t.Fatalf("grade %d", got)
			}
		}
	}
}

// TestShortTimeoutsRaiseNoFaster: with a timeout of two seconds the expiry is written four times
// a second, and a grade takes as long.
func TestShortTimeoutsRaiseNoFaster(t *testing.T) {
	const clients, seconds = 4000, 6
	timeouts := lasting(16)
	config := Config{Connections4: clients, Templates4: 1, Servers: 1}
	tables, ids := format(t, heapMemory(config), config, 1)
	sum := 0.0
	for i := range clients {
		k := clientKey(i, false)
		e, _ := tables.Conns.Insert(tables.Conns.Hash(&k), &k,
			&ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: Assured, Timeout: 16}, 100)
		for now := Tick(101); e.Grade() == Assured; now++ {
			tables.Conns.Update(&e, &inputOnly, evAck, now, timeouts)
			sum += 1.0 / TicksPerSecond
		}
	}
	if mean := sum / clients; mean < 1.7 || mean > 2.3 {
		t.Errorf("grade 2 after %.2f seconds, want 2", mean)
	}
}

// TestClose: a reset may be forged.
func TestClose(t *testing.T) {
	o := newOne(t, client(1, false), ConnInit{State: StateTCPSynRecv})
	o.packet(evAck)
	if o.packet(evRst) != StateTCPClose || o.entry().Expiry() != renewed(o.now, 80) {
		t.Errorf("grade 1: %+v", o.entry())
	}
	if o.packet(evAck) != StateTCPEstablished || o.entry().Expiry() != renewed(o.now, 7200) {
		t.Errorf("an ACK does not bring it back: %v", o.entry().State())
	}

	// Grade 2 and more keeps the time that it had left.
	o = newOne(t, client(1, false), ConnInit{State: StateTCPEstablished, Grade: 2})
	had := o.entry().Expiry()
	o.now += 160
	for range 3 {
		if o.packet(evRst) != StateTCPClose || o.entry().Expiry() != had {
			t.Errorf("expiry %d, had %d", o.entry().Expiry(), had)
		}
		o.now += 16
	}
	if c := o.tables.Counts(1); c.Inactive.Load() != 1 || c.Active.Load() != 0 {
		t.Errorf("%d inactive, %d active", c.Inactive.Load(), c.Active.Load())
	}
	for range 3 { // nor does a forged SYN behind the reset end it early
		if o.packet(evSyn) != StateTCPSynRecv || o.entry().Expiry() != had {
			t.Errorf("after a SYN: expiry %d, had %d", o.entry().Expiry(), had)
		}
		o.now += 8
	}
	o.packet(evAck, evRst)
	had = o.entry().Expiry()
	o.now = had - 8 // less is left than CLOSE has
	if o.packet(evRst); o.entry().Expiry() != renewed(o.now, 80) {
		t.Errorf("expiry %d", o.entry().Expiry())
	}

	// What was never assured does not come back.
	o = newOne(t, client(1, false), ConnInit{State: StateTCPClose})
	if o.packet(evAck) != StateTCPClose {
		t.Error("an unassured connection came back from CLOSE")
	}
}

// TestClosedFor: a connection without a template remembers when it was closed.
func TestClosedFor(t *testing.T) {
	o := newOne(t, client(1, false), ConnInit{State: StateTCPEstablished, Grade: Assured})
	closedFor := func(at Tick) int {
		e := o.entry()
		if s, ok := e.ClosedFor(at); ok {
			return int(s)
		}
		return -1
	}
	if closedFor(o.now) != -1 {
		t.Error("closed while it is open")
	}
	o.packet(evRst)
	for after, want := range map[Tick]int{0: 0, 7: 0, 8: 1, 79: 9, 8 * 1000: 1000, ^Tick(7): 0} {
		if got := closedFor(o.now + after); got != want {
			t.Errorf("closed for %d after %d ticks, want %d", got, int32(after), want)
		}
	}
	o.now += 40
	if o.packet(evRst); closedFor(o.now) != 5 {
		t.Errorf("another reset: closed for %d seconds", closedFor(o.now))
	}
	if o.packet(evAck); closedFor(o.now) != -1 {
		t.Error("closed after it came back")
	}
	if o.packet(evRst); closedFor(o.now+16) != 2 {
		t.Error("closed again: not the second time")
	}
	nk := networkKey(0, false)
	te, _ := o.tables.Templates.Insert(o.tables.Templates.Hash(&nk), &nk, 1, o.now, 100)
	e := o.entry()
	if !o.tables.Conns.Hold(e, &te) || closedFor(o.now) != -1 {
		t.Error("with a template the place is the template's")
	}
	if o.packet(evAck, evRst) != StateTCPClose || !o.tables.Conns.RefreshTemplate(e, o.now, 100) {
		t.Error("closing lost the template")
	}
}

// TestHeldWhileClosed: whichever of two workers comes first, one that lets a connection hold its
// template or one that closes it, the connection knows its template.
func TestHeldWhileClosed(t *testing.T) {
	rounds := 60_000
	if raceDetector {
		rounds = 2_000
	}
	o := newOne(t, client(1, false), ConnInit{State: StateTCPEstablished, Grade: Assured})
	nk := networkKey(0, false)
	te, _ := o.tables.Templates.Insert(o.tables.Templates.Hash(&nk), &nk, 1, o.now, 100000)
	// So that its incarnation is another number than the second.
	for range 77 {
		o.tables.Templates.Delete(&te)
		te, _ = o.tables.Templates.Insert(o.tables.Templates.Hash(&nk), &nk, 1, o.now, 100000)
	}
	var mine, theirs *Entry
	lockstep(rounds, func() {
		if mine != nil {
			o.tables.Conns.Delete(mine)
			o.tables.Conns.Insert(o.tables.Conns.Hash(&o.key), &o.key,
				&ConnInit{Server: 1, State: StateTCPEstablished, Grade: Assured, Timeout: 7200}, o.now)
		}
		mine, theirs = o.entry(), o.entry()
	}, func() {
		o.tables.Conns.Hold(mine, &te)
	}, func() {
		o.tables.Conns.Update(theirs, &inputOnly, evRst, o.now, &ipvsTimeouts)
	}, func() bool {
		e := o.entry()
		ok := e.State() == StateTCPClose && e.HasTemplate() && o.tables.Conns.RefreshTemplate(e, o.now, 100000)
		if !ok {
			t.Errorf("%v, template %v", e.State(), e.HasTemplate())
		}
		return ok
	})
	audit(t, o.tables)
}

// TestNeverEarly: a packet each tick, or now and then, lets no entry end before its timeout, nor
// much later, and writes at most once in a step.
func TestNeverEarly(t *testing.T) {
	for _, timeout := range []Tick{1, 2, 7, 8, 9, 16, 24, 63, 64, 65, 7200} {
		for every := Tick(1); every < 12; every++ {
			life, writes, packets := makeLife(1000, 0, 0, 0), 0, Tick(0)
			for now := Tick(1000); now < 1800; now += every {
				packets++
				if !settled(life, now, timeout) {
					life = uint64(renewed(now, timeout))
					writes++
				}
				left := Tick(life) - now
				if left < timeout || left >= timeout+step(timeout) {
					t.Fatalf("timeout %d: %d left after a packet", timeout, left)
				}
			}
			if most := int((800+every)/max(step(timeout), 1) + 1); writes > most {
				t.Errorf("timeout %d, a packet in %d ticks: %d writes, want at most %d", timeout, every, writes, most)
			}
		}
	}
}
