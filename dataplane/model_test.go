package dataplane

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/xlvs/xlvs/affinity"
	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// model is what two workers with one set of tables must be seen to do for clients of a
// persistent service, written down plainly.
type model struct {
	*bed
	service *service.VirtualService
	workers [2]*Forwarder
	conns   map[flowKey]*modelConn
	clients map[int]*modelTemplate
	removed map[int]*service.RealServer
}

type flowKey struct{ client, port int }

type modelConn struct {
	server  int
	assured bool
	stray   bool // it began in the middle: any second packet assures it
}

type modelTemplate struct {
	server  int
	assured bool
	holders int
}

func newModel(tb testing.TB) *model {
	b, vs := newPersistent(tb, small)
	return &model{
		bed: b, service: vs, workers: [2]*Forwarder{NewForwarder(b.plane), NewForwarder(b.plane)},
		conns: map[flowKey]*modelConn{}, clients: map[int]*modelTemplate{}, removed: map[int]*service.RealServer{},
	}
}

func (m *model) alive(server int) bool { return m.removed[server] == nil }

// packet is a segment of a flow.
func (m *model) packet(k flowKey, flags uint8) Packet {
	return IPv4(fmt.Sprintf("192.0.2.%d", k.client), vip).TCP(uint16(1000+k.port), 80).Flags(flags)
}

// by has one of the workers forward a segment. The server is 0 if the segment goes to none.
func (m *model) by(worker int, k flowKey, flags uint8) (Reason, int) {
	m.tb.Helper()
	frames, verdicts := []Frame{roomy(m.packet(k, flags).Frame(m.tb))}, []Verdict{{}}
	m.workers[worker].Forward(frames, 1, m.now, verdicts)
	if verdicts[0].Reason != Forwarded {
		return verdicts[0].Reason, 0
	}
	return Forwarded, int(frames[0].Bytes()[5])
}

// syn opens a connection, or comes again.
func (m *model) syn(r *rapid.T, worker int, k flowKey) {
	reason, server := m.by(worker, k, packet.SYN)
	if c := m.conns[k]; c != nil {
		m.known(r, c, reason, server)
		m.heard(k, c, c.stray)
		return
	}
	t := m.clients[k.client]
	switch {
	case reason != Forwarded:
		r.Fatalf("SYN of %v: %v", k, reason)
	case t == nil:
		m.clients[k.client] = &modelTemplate{server: server}
	case !m.alive(t.server):
		t.server = server
	case t.server != server:
		r.Fatalf("SYN of %v went to server %d, its client's is %d", k, server, t.server)
	}
	if !m.alive(server) {
		r.Fatalf("SYN of %v went to server %d, which was removed", k, server)
	}
	m.conns[k] = &modelConn{server: server}
}

// ack is of the connection, or of one that the director does not know.
func (m *model) ack(r *rapid.T, worker int, k flowKey) {
	reason, server := m.by(worker, k, packet.ACK)
	c, t := m.conns[k], m.clients[k.client]
	switch {
	case c != nil:
		m.known(r, c, reason, server)
		m.heard(k, c, true)
	case t != nil && t.assured && m.alive(t.server):
		if reason != Forwarded || server != t.server {
			r.Fatalf("stray ACK of %v: %v to server %d, want its client's, %d", k, reason, server, t.server)
		}
		m.conns[k] = &modelConn{server: server, stray: true}
	case reason != NoConnection:
		r.Fatalf("stray ACK of %v: %v, want no_connection", k, reason)
	}
}

// known wants a packet of a connection on its server.
func (m *model) known(r *rapid.T, c *modelConn, reason Reason, server int) {
	switch {
	case !m.alive(c.server):
		if reason != ServerGone {
			r.Fatalf("%v to server %d, its own, %d, was removed", reason, server, c.server)
		}
	case reason != Forwarded || server != c.server:
		r.Fatalf("%v to server %d, want %d", reason, server, c.server)
	}
}

// heard says that a packet of a connection came that assures it, or does not.
func (m *model) heard(k flowKey, c *modelConn, assures bool) {
	if !assures || c.assured || !m.alive(c.server) {
		return
	}
	c.assured = true
	if t := m.clients[k.client]; t.server == c.server {
		t.assured = true
		t.holders++
	}
}

// change removes a server, or brings one back.
func (m *model) change(server int) {
	if was := m.removed[server]; was != nil {
		m.service.Servers = append(m.service.Servers, was)
		delete(m.removed, server)
	} else if len(m.removed) == 0 {
		for i, s := range m.service.Servers {
			if m.number(s.ID) == server {
				m.removed[server] = s
				m.service.Servers = append(m.service.Servers[:i:i], m.service.Servers[i+1:]...)
				break
			}
		}
	}
	m.publish()
}

// check compares the templates.
func (m *model) check(r *rapid.T) {
	found := 0
	m.tables.Templates.Range(m.now, func(e affinity.Template) bool {
		found++
		client := int(e.Client.V4() & 0xff)
		got := modelTemplate{m.number(e.Server), e.Grade != affinity.Unassured, int(e.Holders)}
		if want := m.clients[client]; want == nil || got != *want {
			r.Fatalf("template of client %d: %+v, want %+v", client, got, want)
		}
		return true
	})
	if found != len(m.clients) {
		r.Fatalf("%d templates, want %d", found, len(m.clients))
	}
}

// TestModelOfPersistence lets two workers open, assure and find connections of a few
// clients, while servers go and come. Clients are on one server, whichever worker has their
// packets; a template is held by connections that were assured on its server, and by
// nothing else.
func TestModelOfPersistence(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := newModel(t)
		draw := func(name string, most int) int { return rapid.IntRange(0, most).Draw(r, name) }
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			k, worker := flowKey{draw("client", 3), draw("port", 3)}, draw("worker", 1)
			switch draw("what", 9) {
			case 0, 1, 2, 3:
				m.syn(r, worker, k)
			case 4, 5, 6, 7:
				m.ack(r, worker, k)
			case 8:
				m.change(1 + draw("server", 2))
			case 9:
				m.now += affinity.TicksPerSecond
			}
			m.check(r)
		}
	})
}
