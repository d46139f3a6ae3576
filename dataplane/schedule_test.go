package dataplane

import (
	"testing"
	"time"

	"github.com/xlvs/xlvs/affinity"
	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// newPersistent is a bed that answers, with a persistent service under a mark for ports
// 80 and 443, and three servers.
func newPersistent(tb testing.TB, config affinity.Config) (*bed, *service.VirtualService) {
	tb.Helper()
	b := newBed(tb, config)
	b.ports = []Port{{Interface: 7}, {Interface: 1}}
	b.rules = []marks.Rule{rule(1, 80, 443)}
	return b, b.serve(markService(1), "10.0.0.1", "10.0.0.2", "10.0.0.3")
}

// template is the only one of a client, and whether there is one.
func (b *bed) template(client string) (found affinity.Template, ok bool) {
	b.tb.Helper()
	b.tables.Templates.Range(b.now, func(t affinity.Template) bool {
		if t.Client == packet.AddrFrom(addrOf(client)) {
			found, ok = t, true
		}
		return true
	})
	return found, ok
}

// without takes a server out of a service, and returns it.
func (b *bed) without(vs *service.VirtualService, n int) *service.RealServer {
	b.tb.Helper()
	removed := vs.Servers[n-1]
	vs.Servers = append(vs.Servers[:n-1:n-1], vs.Servers[n:]...)
	b.publish()
	return removed
}

func TestTheFirstPacketMakesATemplateThatNothingHolds(t *testing.T) {
	b, _ := newPersistent(t, small)
	conn := IPv4(client, vip).TCP(1, 80)
	n := b.server(conn.SYN())
	b.wants(n, conn.SYN()) // sent again: no second connection
	if found, ok := b.template(client); !ok || found.Grade != affinity.Unassured || found.Holders != 0 {
		t.Errorf("template %v: %+v, want it unassured and not held", ok, found)
	}
	b.wants(n, conn.ACK())
	if found, ok := b.template(client); !ok || found.Grade == affinity.Unassured || found.Holders != 1 {
		t.Errorf("template %v: %+v, want it assured and held once", ok, found)
	}
}

// A second first packet of TCP may be as invented as the first: it takes an answer. UDP has
// none to show.
func TestASecondConnectionOfUDPAssuresTheTemplate(t *testing.T) {
	for name, open := range map[string]func(port uint16) Packet{
		"tcp":  func(port uint16) Packet { return IPv4(client, vip).TCP(port, 80).SYN() },
		"sctp": func(port uint16) Packet { return IPv4(client, vip).SCTP(port, 80).Chunk(packet.ChunkInit) },
		"udp":  func(port uint16) Packet { return IPv4(client, vip).UDP(port, 443) },
	} {
		b, _ := newPersistent(t, small)
		n := b.server(open(1))
		b.wants(n, open(2))
		found, _ := b.template(client)
		if assured := found.Grade != affinity.Unassured; assured != (name == "udp") || found.Holders != 0 {
			t.Errorf("%s: template %+v", name, found)
		}
	}
}

// TestADrainEndsByReuse: a client that resets and comes again from its port leaves a server
// that is drained, but a client that was there for seconds is not moved by what may be forged.
func TestADrainEndsByReuse(t *testing.T) {
	for _, grown := range []bool{false, true} {
		b := newBed(t, small)
		vs := b.serve(tcpService(80), "10.0.0.1", "10.0.0.2")
		conn := IPv4(client, vip).TCP(1, 80)
		n := b.server(conn.SYN())
		b.wants(n, conn.ACK())
		if grown {
			b.growOld(n, conn.ACK())
		}
		vs.Servers[n-1].Weight = 0
		b.publish()
		b.wants(n, conn.RST())
		if grown {
			b.wants(n, conn.SYN())
			b.wants(n, conn.FIN())
			b.wants(n, conn.SYN()) // nor by a FIN behind the SYN
		} else {
			b.wants(3-n, conn.SYN())
		}
	}
}

// TestAnOldAssociationThatEndedIsScheduledAnew, however long its client is known.
func TestAnOldAssociationThatEndedIsScheduledAnew(t *testing.T) {
	b := newBed(t, small)
	vs := tcpService(80)
	vs.Key.Protocol = packet.SCTP
	b.serve(vs, "10.0.0.1", "10.0.0.2")
	conn := IPv4(client, vip).SCTP(1, 80)
	n := b.server(conn.Chunk(packet.ChunkInit))
	b.wants(n, conn.Chunk(packet.ChunkCookieEcho))
	b.growOld(n, conn.Chunk(packet.ChunkData))
	b.wants(n, conn.Chunk(packet.ChunkAbort))
	b.wants(3-n, conn.Chunk(packet.ChunkInit))
}

// growOld has a connection heard until newcomers cannot displace it.
func (b *bed) growOld(server int, data Packet) {
	b.tb.Helper()
	for grade := affinity.Unassured; grade < affinity.Lasting; {
		if b.wait(2 * time.Second); b.now > 1<<20 {
			b.tb.Fatal("its grade does not rise")
		}
		b.wants(server, data)
		b.tables.Conns.Range(b.now, func(c affinity.Conn) bool { grade = c.Grade; return false })
	}
}

func TestAConnectionWhoseTemplateGaveWayMakesItAnew(t *testing.T) {
	b, _ := newPersistent(t, small)
	conn := IPv4(client, vip).TCP(1, 80)
	n := b.server(conn.SYN())
	b.forgetTemplate(client)
	b.wants(n, conn.ACK())
	if found, ok := b.template(client); !ok || found.Holders != 1 || b.number(found.Server) != n {
		t.Errorf("template %v: %+v, want one of server %d, held once", ok, found, n)
	}
	b.wants(n, IPv4(client, vip).TCP(2, 443).SYN())
}

func TestAConnectionWhoseClientHasAnotherServerByNowStays(t *testing.T) {
	b, _ := newPersistent(t, small)
	conn, later := IPv4(client, vip).TCP(1, 80), IPv4(client, vip).TCP(2, 80)
	n := b.server(conn.SYN())
	b.forgetTemplate(client)
	m := b.server(later.SYN())
	if m == n {
		t.Fatalf("round robin gave server %d twice", n)
	}
	b.wants(n, conn.ACK())
	b.wants(n, conn.ACK())
	if found, _ := b.template(client); b.number(found.Server) != m || found.Holders != 0 {
		t.Errorf("template %+v, want one of server %d that nothing holds", found, m)
	}
	b.wants(m, later.ACK())
	b.wants(m, IPv4(client, vip).TCP(3, 80).SYN())
}

// forgetTemplate deletes a client's template, as a flood does that needs its room.
func (b *bed) forgetTemplate(client string) {
	b.tb.Helper()
	var key affinity.Key
	key.SetMark(packet.AddrFrom(addrOf(client)), 1)
	e, ok := b.tables.Templates.Lookup(b.tables.Templates.Hash(&key), &key, b.now)
	if !ok || !b.tables.Templates.Delete(&e) {
		b.tb.Fatal("there is no template that could give way")
	}
}

// number is which of its service's servers has the ID, counted from 1.
func (b *bed) number(id service.ID) int { return int(b.hops[id].Next.Dst[5]) }

func TestWithoutRoomForATemplateTheConnectionGoesOn(t *testing.T) {
	b, _ := newPersistent(t, affinity.Config{Connections4: 64, Servers: bedServers})
	conn := IPv4(client, vip).TCP(1, 80)
	n := b.server(conn.SYN())
	b.wants(n, conn.ACK())
	b.wants(n, conn.ACK())
	if full := b.noted()[TemplateFull]; full != 2 {
		t.Errorf("%d times no room for a template, want 2", full)
	}
}

// A segment of no known connection goes to the server of its client, which knows: it goes
// on, or resets. Who has no assured template is reset here.
func TestASegmentGoesToItsClientsServerBeforeItIsReset(t *testing.T) {
	b, vs := newPersistent(t, small)
	opened, lost := IPv4(client, vip).TCP(1, 80), IPv4(client, vip).TCP(2, 443)
	n := b.server(opened.SYN())
	b.answers(NoConnection, lost.ACK().Numbers(1, 9), HasSegment(9, 0, packet.RST))
	b.wants(n, opened.ACK())
	b.wants(n, lost.RST())
	b.wants(n, lost.ACK().Payload(10))
	b.wants(n, lost.ACK().Payload(10))
	b.wants(n, IPv4(client, vip).SCTP(3, 443).Chunk(packet.ChunkData))
	states := map[uint16]affinity.State{}
	b.tables.Conns.Range(b.now, func(c affinity.Conn) bool {
		states[c.Tuple.SrcPort] = c.State
		return true
	})
	if states[2] != affinity.StateTCPEstablished {
		t.Errorf("the connection that was lost is %v, want ESTABLISHED", states[2])
	}
	b.without(vs, n)
	b.answers(NoConnection, IPv4(client, vip).TCP(4, 80).ACK().Numbers(1, 9), HasSegment(9, 0, packet.RST))
	b.answers(NoConnection, IPv4("192.0.2.2", vip).TCP(4, 80).ACK().Numbers(1, 9), HasSegment(9, 0, packet.RST))
}

func TestAConnectionWhoseServiceWasRemoved(t *testing.T) {
	for _, expire := range []bool{false, true} {
		b, _ := newPersistent(t, small)
		conn := IPv4(client, vip).TCP(1, 80)
		n := b.server(conn.SYN())
		b.wants(n, conn.ACK())
		services := b.services
		b.services, b.expireNoDest = nil, expire
		b.publish()
		if expire {
			b.answers(NoService, conn.ACK().Numbers(1, 9), HasSegment(9, 0, packet.RST))
			continue
		}
		b.silent(ServerGone, conn.ACK())
		b.silent(ServerGone, conn.SYN())
		b.services = services
		b.publish()
		b.wants(n, conn.ACK()) // back in time
	}
}

// A rule that no longer covers a port says who may open connections, not who may go on.
func TestAConnectionOutlivesItsRule(t *testing.T) {
	b, _ := newPersistent(t, small)
	conn := IPv4(client, vip).TCP(1, 443)
	n := b.server(conn.SYN())
	b.wants(n, conn.ACK())
	b.rules = []marks.Rule{rule(1, 80)}
	b.publish()
	b.wants(n, conn.ACK().Payload(9))
	b.answers(NoService, IPv4(client, vip).TCP(2, 443).SYN().Numbers(9, 0), HasSegment(0, 10, packet.RST|packet.ACK))
}

func TestATemplateOfAServerThatCannotBeReached(t *testing.T) {
	for _, c := range []struct{ expire, keep, stays bool }{
		{false, false, true}, {true, false, false}, {true, true, true}, {false, true, true},
	} {
		b, vs := newPersistent(t, small)
		vs.ExpireQuiescent, vs.KeepUnreachable = c.expire, c.keep
		b.publish()
		n := b.server(IPv4(client, vip).TCP(1, 80).SYN())
		vs.Servers[n-1].Counts.Unreachable.Store(true)
		if got := b.server(IPv4(client, vip).TCP(2, 80).SYN()); (got == n) != c.stays {
			t.Errorf("%+v: the client of server %d went to %d", c, n, got)
		}
	}
}

func TestNoRoomIsSilence(t *testing.T) {
	b := newBed(t, affinity.Config{Templates4: 64, Servers: bedServers})
	b.ports = []Port{{Interface: 1}}
	b.serve(tcpService(80), "10.0.0.1")
	b.silent(TableFull, IPv4(client, vip).TCP(1, 80).SYN())
	b.silent(TableFull, IPv4(client, vip).TCP(1, 80).SYN())
}

// One client port may have 62 connections that were heard long enough. The next finds
// no room; another port's does.
func TestAClientPortHasSoManyConnections(t *testing.T) {
	const places = 62
	b := newBed(t, small)
	b.ports = []Port{{Interface: 1}}
	b.rules = []marks.Rule{rule(1)}
	vs := markService(1)
	vs.Persistent = false
	b.serve(vs, "10.0.0.1")
	conn := func(vport int) Packet { return IPv4(client, vip).TCP(1000, uint16(vport)) }
	for n := 1; n <= places; n++ {
		b.wants(1, conn(n).SYN())
		b.wants(1, conn(n).ACK())
		for lasting := 0; lasting < n; {
			if b.wait(2 * time.Second); b.now > 1<<20 {
				t.Fatal("grades do not rise")
			}
			lasting = 0
			b.tables.Conns.Range(b.now, func(c affinity.Conn) bool {
				b.wants(1, conn(int(c.Tuple.DstPort)).ACK())
				if c.Grade >= affinity.Lasting {
					lasting++
				}
				return true
			})
		}
	}
	b.silent(ClientPortFull, conn(places+1).SYN())
	b.wants(1, IPv4(client, vip).TCP(1001, 1).SYN())
	b.wants(1, conn(places).ACK())
}

// Identifications come again (RFC 6864): a first fragment says where its packet goes,
// whatever another of the same number said seconds ago.
func TestAFirstFragmentSaysWhereItsPacketGoes(t *testing.T) {
	udp := service.VirtualService{Key: service.Key{Protocol: packet.UDP, Addr: addrOf(vip), Port: 53}}
	packetOf := func(port uint16) Packet { return IPv4(client, vip).UDP(port, 53).Payload(3000).ID(7) }
	follow := func(t *testing.T, b *bed, p Packet) (server byte) {
		t.Helper()
		for i, f := range p.Fragments(t, 1200) {
			if v := b.send(f); v.Reason != Forwarded || i > 0 && f[5] != server {
				t.Errorf("fragment %d: %v to server %d, the first went to %d", i, v.Reason, f[5], server)
			}
			server = f[5]
		}
		return server
	}
	t.Run("two flows", func(t *testing.T) {
		b := newBed(t, small)
		b.serve(udp, "10.0.0.1", "10.0.0.2")
		first := follow(t, b, packetOf(1))
		b.wait(5 * time.Second)
		if second := follow(t, b, packetOf(2)); second == first {
			t.Errorf("round robin gave server %d twice", first)
		}
		if again := follow(t, b, packetOf(1)); again != first {
			t.Errorf("the first flow went to server %d, then to %d", first, again)
		}
	})
	t.Run("a server that was replaced", func(t *testing.T) {
		b := newBed(t, small)
		vs := udp
		vs.ExpireNoDest = true
		s := b.serve(vs, "10.0.0.1", "10.0.0.2")
		first := follow(t, b, packetOf(1))
		b.without(s, int(first))
		if second := follow(t, b, packetOf(1)); second == first {
			t.Errorf("went to server %d, which was removed", first)
		}
	})
	t.Run("a server that is drained", func(t *testing.T) {
		b := newBed(t, small)
		s := b.serve(udp, "10.0.0.1", "10.0.0.2")
		first := follow(t, b, packetOf(1))
		s.Servers[first-1] = withWeight(s.Servers[first-1], 0)
		b.publish()
		if again := follow(t, b, packetOf(1)); again != first {
			t.Errorf("the drained server's flow went to server %d", again)
		}
		if other := follow(t, b, packetOf(2)); other == first {
			t.Errorf("a new flow went to the drained server %d", first)
		}
	})
	t.Run("one packet", func(t *testing.T) {
		b := newBed(t, small)
		vs := udp
		vs.OnePacket = true
		b.serve(vs, "10.0.0.1", "10.0.0.2")
		if first, second := follow(t, b, packetOf(1)), follow(t, b, packetOf(1)); first == second {
			t.Errorf("both packets of one flow went to server %d", first)
		}
	})
}
