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
	flags    Flags
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
	if ok && (e.Server() != c.server || e.State() != c.state || e.Flags() != c.flags || e.HasTemplate() != (c.template != nil)) {
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
	if ok && (e.Server() != c.server || (e.Flags()&Assured != 0) != c.assured || e.Holders() != uint32(c.holders)) {
		r.Fatalf("template: %+v, model %+v", e, c)
	}
	return e, ok
}

func (m *machine) LookupTemplate(r *rapid.T) { m.lookupTemplate(r, m.network(r)) }

func (m *machine) Insert(r *rapid.T) {
	k := m.key(r)
	init := ConnInit{Server: m.server(r), State: State(rapid.IntRange(1, 10).Draw(r, "state")), Timeout: m.timeout(r)}
	var held *modelTemplate
	if rapid.Bool().Draw(r, "persistent") {
		nk := m.network(r)
		if e, ok := m.lookupTemplate(r, nk); ok && nk.v6 == k.v6 {
			init.Template, held = e, m.template(nk)
		}
	}
	there := m.conn(k)
	_, o := m.tables.Conns.Insert(m.tables.Conns.Hash(&k), &k, &init, m.now)
	if want := map[bool]Outcome{true: Found, false: Inserted}[there != nil]; o != want {
		r.Fatalf("insert: %v, want %v", o, want)
	}
	if there == nil {
		m.forget(k)
		if held != nil {
			held.holders++
		}
		m.model.conns[k] = &modelConn{init.Server, init.State, 0, m.now + init.Timeout, held}
	}
	m.lookup(r, k)
}

func (m *machine) InsertTemplate(r *rapid.T) {
	k, id, timeout := m.network(r), m.server(r), m.timeout(r)
	there := m.template(k)
	_, o := m.tables.Templates.Insert(m.tables.Templates.Hash(&k), &k, id, 0, m.now, timeout)
	if want := map[bool]Outcome{true: Found, false: Inserted}[there != nil]; o != want {
		r.Fatalf("insert template: %v, want %v", o, want)
	}
	if there == nil {
		m.model.templates[k] = &modelTemplate{server: id, expiry: m.now + timeout}
	}
	m.lookupTemplate(r, k)
}

func (m *machine) Update(r *rapid.T) {
	k := m.key(r)
	e, ok := m.lookup(r, k)
	if !ok {
		return
	}
	c := m.conn(k)
	state := State(rapid.IntRange(1, 10).Draw(r, "state"))
	flags := Flags(rapid.IntRange(0, 1).Draw(r, "assured"))
	timeout := m.timeout(r)
	if !m.tables.Conns.Update(&e, state, flags, m.now, timeout) {
		r.Fatalf("update of a connection that is there failed")
	}
	if flags != 0 && c.flags == 0 && c.template != nil {
		c.template.assured = true
	}
	c.state, c.flags = state, c.flags|flags
	e, _ = m.tables.Conns.of(k.v6).find(m.tables.Conns.Hash(&k), &k)
	m.settle(r, &c.expiry, e.Expiry(), timeout)
}

// settle checks an expiry that may lag behind by a little, and follows it.
func (m *machine) settle(r *rapid.T, expiry *Tick, got, timeout Tick) {
	want := m.now + timeout
	if lag := int32(want - got); lag >= TicksPerSecond || lag > int32(timeout+7)/8 || lag <= -TicksPerSecond {
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
		if m.tables.Conns.Delete(&e) || m.tables.Conns.Update(&e, e.State()^1, 0, m.now, 1) {
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
