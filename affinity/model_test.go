package affinity

import (
	"testing"

	"github.com/xlvs/xlvs/service"
	"pgregory.net/rapid"
)

// model is the tables as plain maps: what the package promises, without any of
// how. It holds while there is room; flood_test.go is about what happens when there is none.
type model struct {
	conns     map[Key]*modelConn
	templates map[Key]*modelTemplate
}

type modelConn struct {
	server   service.ID
	state    State
	grade    Grade
	expiry   Tick
	template *modelTemplate
}

type modelTemplate struct {
	server  service.ID
	assured bool
	expiry  Tick
	holders int
}

// machine drives tables and model side by side.
type machine struct {
	tables *Tables
	ids    []service.ID
	now    Tick
	model  model
}

func (m *machine) key(r *rapid.T) Key {
	return clientKey(rapid.IntRange(0, 60).Draw(r, "client"), rapid.Bool().Draw(r, "ipv6"))
}

func (m *machine) network(r *rapid.T) Key {
	return networkKey(16*rapid.IntRange(0, 20).Draw(r, "network"), rapid.Bool().Draw(r, "ipv6"))
}

func (m *machine) server(r *rapid.T) service.ID { return rapid.SampledFrom(m.ids).Draw(r, "server") }

func (m *machine) timeout(r *rapid.T) Tick { return Tick(rapid.IntRange(1, 400).Draw(r, "timeout")) }

// conn returns the model's connection of a key, forgetting it if it has expired.
func (m *machine) conn(k Key) *modelConn {
	c := m.model.conns[k]
	if c != nil && !c.expiry.After(m.now) {
		return nil
	}
	return c
}

// forget does what the end of an expired connection does. Tables do it when they come by.
func (m *machine) forget(k Key) {
	if c := m.model.conns[k]; c != nil && c.template != nil {
		c.template.holders--
	}
	delete(m.model.conns, k)
}

func (m *machine) template(k Key) *modelTemplate {
	c := m.model.templates[k]
	if c != nil && !c.expiry.After(m.now) && c.holders == 0 {
		return nil
	}
	return c
}

func (m *machine) lookup(r *rapid.T, k Key) (Entry, bool) {
	e, ok := m.tables.Conns.Lookup(m.tables.Conns.Hash(&k), &k, m.now)
	c := m.conn(k)
	if ok != (c != nil) {
		r.Fatalf("lookup at %d: found %v, model %+v", m.now, ok, c)
	}
	if ok && (e.Server() != c.server || e.State() != c.state || e.Grade() != c.grade || e.HasTemplate() != (c.template != nil)) {
		r.Fatalf("lookup: %+v, model %+v", e, c)
	}
	return e, ok
}

func (m *machine) Lookup(r *rapid.T) { m.lookup(r, m.key(r)) }

func (m *machine) lookupTemplate(r *rapid.T, k Key) (Entry, bool) {
	e, ok := m.tables.Templates.Lookup(m.tables.Templates.Hash(&k), &k, m.now)
	c := m.template(k)
	if ok != (c != nil) {
		r.Fatalf("template at %d: found %v, model %+v", m.now, ok, c)
	}
	if ok && (e.Server() != c.server || e.Assured() != c.assured || e.Holders() != uint32(c.holders)) {
		r.Fatalf("template: %+v, model %+v", e, c)
	}
	return e, ok
}

func (m *machine) LookupTemplate(r *rapid.T) { m.lookupTemplate(r, m.network(r)) }

// state is one of TCP's, which is the protocol of all keys here.
func (m *machine) state(r *rapid.T) State {
	return StateTCPNone + State(rapid.IntRange(0, 10).Draw(r, "state"))
}

func (m *machine) Insert(r *rapid.T) {
	k := m.key(r)
	init := ConnInit{Server: m.server(r), State: m.state(r), Timeout: m.timeout(r),
		Grade: Grade(rapid.IntRange(0, int(MaxGrade)).Draw(r, "grade"))}
	there := m.conn(k)
	_, o := m.tables.Conns.Insert(m.tables.Conns.Hash(&k), &k, &init, m.now)
	if want := map[bool]Outcome{true: Found, false: Inserted}[there != nil]; o != want {
		r.Fatalf("insert: %v, want %v", o, want)
	}
	if there == nil {
		m.forget(k)
		m.model.conns[k] = &modelConn{init.Server, init.State, init.Grade, m.now + init.Timeout, nil}
	}
	m.lookup(r, k)
}

func (m *machine) InsertTemplate(r *rapid.T) {
	k, id, timeout := m.network(r), m.server(r), m.timeout(r)
	there := m.template(k)
	_, o := m.tables.Templates.Insert(m.tables.Templates.Hash(&k), &k, id, m.now, timeout)
	if want := map[bool]Outcome{true: Found, false: Inserted}[there != nil]; o != want {
		r.Fatalf("insert template: %v, want %v", o, want)
	}
	if there == nil {
		m.model.templates[k] = &modelTemplate{server: id, expiry: m.now + timeout}
	}
	m.lookupTemplate(r, k)
}

// Hold lets a connection hold a template, if it has none and the families agree.
func (m *machine) Hold(r *rapid.T) {
	k, nk := m.key(r), m.network(r)
	e, ok := m.lookup(r, k)
	te, tok := m.lookupTemplate(r, nk)
	if !ok || !tok {
		return
	}
	c, held := m.conn(k), m.template(nk)
	got := m.tables.Conns.Hold(&e, &te)
	if want := k.v6 == nk.v6; got != want {
		r.Fatalf("hold: %v, want %v", got, want)
	}
	if got && c.template == nil {
		c.template = held
		held.holders++
	}
	if again, _ := m.lookup(r, k); got && again != e {
		r.Fatalf("after Hold the entry is %+v, its copy %+v", again, e)
	}
}

func (m *machine) Assure(r *rapid.T) {
	k := m.network(r)
	if e, ok := m.lookupTemplate(r, k); ok {
		if !m.tables.Templates.Assure(&e) {
			r.Fatalf("a template that is there was not assured")
		}
		m.template(k).assured = true
		m.lookupTemplate(r, k)
	}
}

func (m *machine) Update(r *rapid.T) {
	k := m.key(r)
	e, ok := m.lookup(r, k)
	if !ok {
		return
	}
	c, before := m.conn(k), *m.conn(k)
	ev := stay
	if rapid.Bool().Draw(r, "move") {
		ev = event(m.state(r))
		c.state = anyMove[c.state][ev]
	}
	if before.state == StateTCPClose && c.state == StateTCPEstablished && c.grade == Unassured {
		c.state = before.state // what was never assured does not come back
	}
	timeouts := lasting(m.timeout(r))
	state, u := m.tables.Conns.Update(&e, &anyMove, ev, m.now, timeouts)
	became := before.grade == Unassured && !c.state.opening()
	if became {
		c.grade = Assured
	}
	if want := map[bool]Updated{true: Became, false: Kept}[became]; u != want || state != c.state {
		r.Fatalf("update of %+v with event %d: %v %v, want %v %v", before, ev, state, u, c.state, want)
	}
	now, _ := m.tables.Conns.of(k.v6).find(m.tables.Conns.Hash(&k), &k)
	if u == Became && now != e {
		r.Fatalf("after Update the entry is %+v, its copy %+v", now, e)
	}
	m.checkExpiry(r, c, &before, now.Expiry(), timeouts[c.state])
	moved := now.Expiry() != before.expiry
	if now.Grade() == c.grade+1 && before.grade != Unassured && before.state == c.state && moved && c.grade < MaxGrade {
		c.grade++
	}
	m.lookup(r, k)
}

// checkExpiry checks the expiry after an update: in CLOSE, and in SYN_RECV, a connection of
// grade 2 or more keeps what it had, and an ordinary one is settled.
func (m *machine) checkExpiry(r *rapid.T, c, before *modelConn, got, timeout Tick) {
	forgeable := c.state == StateTCPClose || c.state == StateTCPSynRecv
	kept := before.grade > Assured && forgeable && before.expiry.After(m.now+timeout+TicksPerSecond)
	switch {
	case kept && got != before.expiry:
		r.Fatalf("a packet that may be forged changed the expiry %d to %d at %d", before.expiry, got, m.now)
	case !kept:
		m.settle(r, &c.expiry, got, timeout)
	}
	c.expiry = got
}

// settle checks an expiry, which is never early and late by a little, and follows it.
func (m *machine) settle(r *rapid.T, expiry *Tick, got, timeout Tick) {
	want := m.now + timeout
	if early := int32(want - got); early > 0 || early < -2*TicksPerSecond {
		r.Fatalf("expiry %d, should be about %d for a timeout of %d", got, want, timeout)
	}
	*expiry = got
}

func (m *machine) Refresh(r *rapid.T) {
	k, timeout := m.network(r), m.timeout(r)
	e, ok := m.lookupTemplate(r, k)
	if !ok {
		return
	}
	if !m.tables.Templates.Refresh(&e, m.now, timeout) {
		r.Fatalf("refresh of a template that is there failed")
	}
	e, _ = m.tables.Templates.of(k.v6).find(m.tables.Templates.Hash(&k), &k)
	m.settle(r, &m.template(k).expiry, e.Expiry(), timeout)
}

func (m *machine) Rebind(r *rapid.T) {
	k, id := m.network(r), m.server(r)
	if e, ok := m.lookupTemplate(r, k); ok {
		now, won := m.tables.Templates.Rebind(e, id)
		if !won || now.Server() != id {
			r.Fatalf("rebind to %#x: %+v, won %v", id, now, won)
		}
		m.template(k).server = id
		// Who comes second with what it saw before follows.
		if now, won = m.tables.Templates.Rebind(e, id+1); e.Server() != id && (won || now.Server() != id) {
			r.Fatalf("second rebind: %+v, won %v", now, won)
		} else if won {
			m.template(k).server = id + 1
			m.tables.Templates.Rebind(now, id)
			m.template(k).server = id
		}
		m.lookupTemplate(r, k)
	}
}

func (m *machine) Delete(r *rapid.T) {
	k := m.key(r)
	if e, ok := m.lookup(r, k); ok {
		if !m.tables.Conns.Delete(&e) {
			r.Fatalf("delete of a connection that is there failed")
		}
		_, u := m.tables.Conns.Update(&e, &anyMove, event(e.State()^1), m.now, lasting(1))
		if u != Gone || m.tables.Conns.Delete(&e) || m.tables.Conns.Hold(&e, &Entry{}) {
			r.Fatalf("a deleted connection can be changed")
		}
		m.forget(k)
	}
}

func (m *machine) Wait(r *rapid.T) { m.now += Tick(rapid.IntRange(0, 100).Draw(r, "ticks")) }

// Sweep ends what has expired for good, so holders are let go.
func (m *machine) Sweep(r *rapid.T) {
	m.sweepAll()
	for k, c := range m.model.conns {
		if !c.expiry.After(m.now) {
			m.forget(k)
		}
	}
	if got := m.tables.Stats(); got.Connections4.Live+got.Connections6.Live != uint64(len(m.model.conns)) {
		r.Fatalf("%+v live after a sweep, the model has %d", got, len(m.model.conns))
	}
}

func (m *machine) sweepAll() {
	for !m.tables.Sweep(m.now, 100) {
	}
}

// List compares the listings with the model.
func (m *machine) List(r *rapid.T) {
	n := 0
	m.tables.Conns.Range(m.now, func(c Conn) bool { n++; return true })
	for k := range m.model.conns {
		if m.conn(k) != nil {
			n--
		}
	}
	m.tables.Templates.Range(m.now, func(Template) bool { n += 1 << 16; return true })
	for k := range m.model.templates {
		if m.template(k) != nil {
			n -= 1 << 16
		}
	}
	if n != 0 {
		r.Fatalf("listings differ by %#x", n)
	}
}

// Attach is the next process.
func (m *machine) Attach(r *rapid.T) {
	t, err := Attach(m.memory(), m.tables.config)
	if err != nil {
		r.Fatal(err)
	}
	m.tables = t
}

func (m *machine) memory() []byte { return modelMemory }

// modelMemory is the memory of the one machine that runs.
var modelMemory []byte

func (m *machine) Check(r *rapid.T) {
	if err := auditTables(m.tables); err != nil {
		r.Fatal(err)
	}
}

// TestModel runs random operations against plain maps, with a clock that wraps.
func TestModel(t *testing.T) {
	config := Config{Connections4: 400, Connections6: 400, Templates4: 80, Templates6: 80, Servers: 16}
	modelMemory = heapMemory(config)
	rapid.Check(t, func(r *rapid.T) {
		m := &machine{now: ^Tick(0) - Tick(rapid.IntRange(0, 2000).Draw(r, "before the wrap"))}
		m.model = model{map[Key]*modelConn{}, map[Key]*modelTemplate{}}
		var err error
		if m.tables, err = Format(modelMemory, config); err != nil {
			r.Fatal(err)
		}
		m.ids = assign(t, m.tables, 9)[:8]
		actions := rapid.StateMachineActions(m)
		check := actions[""]
		steps := 0
		actions[""] = func(r *rapid.T) {
			if steps++; steps%16 == 0 {
				check(r)
			}
		}
		for range 8 {
			r.Repeat(actions)
		}
		check(r)
	})
}
