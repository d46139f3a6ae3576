package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"github.com/xlvs/xlvs/affinity"
	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

const (
	client = "192.0.2.1"
	vip    = "203.0.113.10"
	vip6   = "2001:db8::10"
)

var small = affinity.Config{Connections4: 1024, Connections6: 1024, Templates4: 1024, Templates6: 1024}

func tcpService(port uint16) service.VirtualService {
	return service.VirtualService{Key: service.Key{Protocol: packet.TCP, Addr: netip.MustParseAddr(vip), Port: port}}
}

func markService(mark uint32) service.VirtualService {
	return service.VirtualService{Key: service.Key{Mark: mark}, Persistent: true}
}

// rule marks TCP and UDP packets to the virtual addresses and ports.
func rule(mark marks.Mark, ports ...uint16) marks.Rule {
	r := marks.Rule{Mark: mark, Destinations: []netip.Prefix{netip.MustParsePrefix(vip + "/32"), netip.MustParsePrefix(vip6 + "/128")}}
	for _, p := range ports {
		r.DestinationPorts = append(r.DestinationPorts, marks.Port(p))
	}
	return r
}

// wants sends a packet and checks that server n gets it, and nothing changed but the
// MAC addresses and the TTL.
func (b *bed) wants(n int, p Packet) {
	b.tb.Helper()
	original := p.Frame(b.tb)
	frame := p.Frame(b.tb)
	if v := b.send(frame); v.Reason != Forwarded {
		b.tb.Errorf("verdict %v, want forwarded to server %d", v.Reason, n)
		return
	}
	Check(b.tb, frame, HasDstMAC(serverMAC(n)), HasSrcMAC(directorMAC), OneHopFurther(original))
}

// drops sends a packet and checks that it is dropped for a reason, untouched.
func (b *bed) drops(reason Reason, p Packet) {
	b.tb.Helper()
	original := p.Frame(b.tb)
	frame := p.Frame(b.tb)
	if v := b.send(frame); v.Reason != reason {
		b.tb.Errorf("verdict %v, want %v", v.Reason, reason)
	}
	Check(b.tb, frame, Unchanged(original))
}

// server sends a packet and returns the number of the server that gets it.
func (b *bed) server(p Packet) int {
	b.tb.Helper()
	frame := p.Frame(b.tb)
	if v := b.send(frame); v.Reason != Forwarded {
		b.tb.Fatalf("verdict %v, want forwarded", v.Reason)
	}
	return int(frame[5])
}

func TestAConnectionStaysOnItsServer(t *testing.T) {
	b := newBed(t, small)
	b.serve(tcpService(80), "10.0.0.1", "10.0.0.2", "10.0.0.3")
	conn := IPv4(client, vip).TCP(1024, 80)
	first := b.server(conn.SYN())
	second := b.server(IPv4(client, vip).TCP(1025, 80).SYN())
	if first == second {
		t.Errorf("round robin gave two connections to server %d", first)
	}
	for range 3 {
		b.wants(first, conn.ACK().Payload(100))
	}
	b.wants(first, conn.FIN().ACK())
}

func TestEveryFormOfPacketReachesItsServerUntouched(t *testing.T) {
	b := newBed(t, small)
	b.rules = []marks.Rule{rule(1)}
	b.serve(markService(1), "10.0.0.1")
	b.serve(service.VirtualService{Key: service.Key{Mark: 1, IPv6: true}, Persistent: true}, "fd00::1")
	v4, v6 := IPv4(client, vip), IPv6("2001:db8:c::1", vip6)
	for name, p := range map[string]Packet{
		"tcp": v4.TCP(1, 80).SYN(), "udp": v4.UDP(2, 53), "sctp": v4.SCTP(3, 9).Chunk(packet.ChunkInit),
		"options": v4.Options(12).TCP(4, 80).SYN(), "padding": v4.UDP(7, 53).Padded(60),
	} {
		t.Run("IPv4 "+name, func(t *testing.T) { b.tb = t; b.wants(1, p) })
	}
	for name, p := range map[string]Packet{
		"tcp": v6.TCP(1, 80).SYN(), "udp": v6.UDP(2, 53), "sctp": v6.SCTP(3, 9).Chunk(packet.ChunkInit),
		"hop-by-hop": v6.Through(HopByHop(8)).TCP(4, 80).SYN(),
		"chain":      v6.Through(HopByHop(8), Routing(1), DestinationOptions(8)).UDP(6, 53),
	} {
		t.Run("IPv6 "+name, func(t *testing.T) { b.tb = t; b.wants(1, p) })
	}
}

func TestWhatIsDroppedAndWhy(t *testing.T) {
	b := newBed(t, small)
	b.serve(tcpService(80), "10.0.0.1")
	b.serve(tcpService(81))
	unresolved := b.serve(tcpService(82), "10.0.0.2")
	delete(b.hops, unresolved.Servers[0].ID)
	b.publish()
	tcp := IPv4(client, vip)
	b.drops(NoService, tcp.TCP(1, 8080).SYN())
	b.drops(NoService, tcp.UDP(1, 80))
	b.drops(NoConnection, tcp.TCP(1, 80).ACK())
	b.drops(NoConnection, tcp.TCP(1, 80).RST())
	b.drops(NoConnection, tcp.TCP(1, 80).SYN().RST())
	b.drops(NoServer, tcp.TCP(1, 81).SYN())
	b.drops(NeighbourUnresolved, tcp.TCP(1, 82).SYN())
	b.drops(FTPDataSource, tcp.TCP(20, 80).SYN())
	b.drops(NotBalanced, tcp.Ping())
	b.drops(FragmentUnknown, tcp.UDP(1, 80).Payload(64).ID(9).Fragment(16, 32, false))
	b.drops(ErrorUnknown, IPv4("198.51.100.1", vip).Unreachable(IPv4(vip, client).TCP(80, 1)))
	b.drops(malformed(packet.TruncatedPacket), tcp.TCP(1, 80).SYN().Truncated(40))

	b.Forwarder.Publish()
	var counts [Reasons]uint64
	b.Reasons(&counts)
	for reason, want := range map[Reason]uint64{NoService: 2, NoConnection: 3, NoServer: 1, NotBalanced: 1, Forwarded: 0} {
		if counts[reason] != want {
			t.Errorf("counter %v = %d, want %d", reason, counts[reason], want)
		}
	}
}

func TestUnderAMarkAClientHasOneServer(t *testing.T) {
	b := newBed(t, small)
	b.rules = []marks.Rule{rule(80, 80, 443)}
	b.serve(markService(80), "10.0.0.1", "10.0.0.2", "10.0.0.3")
	n := b.server(IPv4(client, vip).TCP(1, 80).SYN())
	b.wants(n, IPv4(client, vip).TCP(2, 443).SYN())
	b.wants(n, IPv4(client, vip).UDP(3, 443))
	if other := b.server(IPv4("192.0.2.2", vip).TCP(1, 80).SYN()); other == n {
		t.Errorf("another client got server %d too", n)
	}
}

func TestMaskGathersNeighbours(t *testing.T) {
	for _, c := range []struct {
		mask         netip.Addr
		same, others string
	}{
		{netip.MustParseAddr("255.255.255.0"), "192.0.2.200", "192.0.3.1"},
		{netip.MustParseAddr("0.0.0.0"), "10.1.2.3", ""},
		{netip.MustParseAddr("255.0.0.255"), "192.99.99.1", "192.0.2.2"},
	} {
		t.Run(c.mask.String(), func(t *testing.T) {
			b := newBed(t, small)
			vs := markService(1)
			vs.Persistence.Mask = packet.AddrFrom(c.mask)
			vs.Persistence.Mask.Hi = ^uint64(0)
			vs.Persistence.Mask.Lo |= 0xffffffff << 32
			b.rules = []marks.Rule{rule(1)}
			b.serve(vs, "10.0.0.1", "10.0.0.2")
			n := b.server(IPv4(client, vip).TCP(1, 80).SYN())
			b.wants(n, IPv4(c.same, vip).TCP(1, 80).SYN())
			if c.others != "" && b.server(IPv4(c.others, vip).TCP(1, 80).SYN()) == n {
				t.Errorf("%s shares server %d with %s", c.others, n, client)
			}
		})
	}
}

func TestWithoutAMarkPortsAndProtocolsAreApart(t *testing.T) {
	b := newBed(t, small)
	for _, port := range []uint16{80, 443} {
		vs := tcpService(port)
		vs.Persistent = true
		b.serve(vs, "10.0.0.1", "10.0.0.2")
	}
	n := b.server(IPv4(client, vip).TCP(1, 80).SYN())
	b.server(IPv4("192.0.2.9", vip).TCP(1, 443).SYN()) // moves the second service's round on
	m := b.server(IPv4(client, vip).TCP(2, 443).SYN())
	b.wants(n, IPv4(client, vip).TCP(3, 80).SYN())
	b.wants(m, IPv4(client, vip).TCP(4, 443).SYN())
	if m == n+2 {
		t.Errorf("the client has the same server at both services")
	}
}

func TestFTPFollowsTheControlConnection(t *testing.T) {
	b := newBed(t, small)
	vs := tcpService(21)
	vs.Persistent = true
	b.serve(vs, "10.0.0.1", "10.0.0.2")
	b.server(IPv4("192.0.2.9", vip).TCP(1, 21).SYN())
	n := b.server(IPv4(client, vip).TCP(1, 21).SYN())
	b.wants(n, IPv4(client, vip).TCP(2, 50000).SYN())
	b.drops(NoService, IPv4(client, vip).TCP(2, 22).SYN())
}

func TestTemplateLastsFromTheLastConnection(t *testing.T) {
	b := newBed(t, small)
	vs := markService(1)
	vs.Timeouts = defaultTimeouts
	vs.Timeouts.UDP = time.Second
	vs.Persistence.Timeout = 10 * time.Second
	b.rules = []marks.Rule{rule(1)}
	b.serve(vs, "10.0.0.1", "10.0.0.2", "10.0.0.3")
	n := b.server(IPv4(client, vip).UDP(1, 53))
	b.wait(8 * time.Second)
	b.wants(n, IPv4(client, vip).UDP(2, 53))
	b.wait(8 * time.Second)
	b.wants(n, IPv4(client, vip).UDP(3, 53)) // 16 s after the first: the second refreshed it
	b.wait(12 * time.Second)
	b.sweep()
	if m := b.server(IPv4(client, vip).UDP(4, 53)); m == n {
		t.Errorf("the client still has server %d after its template ended", n)
	}
}

func TestTemplateLastsWhileAConnectionLives(t *testing.T) {
	b := newBed(t, small)
	vs := markService(1)
	vs.Persistence.Timeout = time.Second
	b.rules = []marks.Rule{rule(1)}
	b.serve(vs, "10.0.0.1", "10.0.0.2", "10.0.0.3")
	conn := IPv4(client, vip).TCP(1, 80)
	n := b.server(conn.SYN())
	b.wants(n, conn.ACK())
	b.wait(5 * time.Minute)
	b.sweep()
	b.wants(n, IPv4(client, vip).TCP(2, 80).SYN())
}

func TestRefreshSettings(t *testing.T) {
	for _, c := range []struct {
		refresh service.Refresh
		kept    bool
	}{{service.RefreshPacket, true}, {service.RefreshConnection, false}, {service.RefreshNone, false}} {
		b := newBed(t, small)
		vs := markService(1)
		vs.Timeouts = defaultTimeouts
		vs.Timeouts.UDP = 3 * time.Second
		vs.Persistence.Timeout, vs.Persistence.Refresh = 10*time.Second, c.refresh
		b.rules = []marks.Rule{rule(1)}
		b.serve(vs, "10.0.0.1", "10.0.0.2", "10.0.0.3")
		n := b.server(IPv4(client, vip).UDP(1, 53))
		for range 4 { // packets of the first connection for 8 s, then 4 s of silence
			b.wait(2 * time.Second)
			b.wants(n, IPv4(client, vip).UDP(1, 53))
		}
		b.wait(4 * time.Second)
		b.sweep()
		if kept := b.server(IPv4(client, vip).UDP(2, 53)) == n; kept != c.kept {
			t.Errorf("refresh %d: kept on its server: %v, want %v", c.refresh, kept, c.kept)
		}
	}
}

func TestQuiescedServerKeepsItsClients(t *testing.T) {
	for _, expire := range []bool{false, true} {
		b := newBed(t, small)
		vs := markService(1)
		vs.ExpireQuiescent = expire
		b.rules = []marks.Rule{rule(1)}
		s := b.serve(vs, "10.0.0.1", "10.0.0.2")
		n := b.server(IPv4(client, vip).TCP(1, 80).SYN())
		s.Servers[n-1] = withWeight(s.Servers[n-1], 0)
		b.publish()
		if got := b.server(IPv4(client, vip).TCP(2, 80).SYN()); (got == n) == expire {
			t.Errorf("expire_quiescent %v: a known client's new connection went to server %d, its own is %d", expire, got, n)
		}
		for port := range uint16(4) {
			if got := b.server(IPv4("192.0.2.77", vip).TCP(10+port, 80).SYN()); got == n {
				t.Errorf("expire_quiescent %v: a new client went to the quiesced server", expire)
			}
		}
		b.wants(n, IPv4(client, vip).TCP(1, 80).ACK())
	}
}

func withWeight(r *service.RealServer, weight int32) *service.RealServer {
	changed := *r
	changed.Weight = weight
	return &changed
}

func TestRemovedServer(t *testing.T) {
	for _, expire := range []bool{false, true} {
		b := newBed(t, small)
		vs := markService(1)
		vs.ExpireNoDest = expire
		b.rules = []marks.Rule{rule(1)}
		s := b.serve(vs, "10.0.0.1", "10.0.0.2")
		conn := IPv4(client, vip).TCP(1, 80)
		n := b.server(conn.SYN())
		b.wants(n, conn.ACK())
		removed := s.Servers[n-1]
		s.Servers = append(s.Servers[:n-1:n-1], s.Servers[n:]...)
		b.publish()
		other := 3 - n
		if expire {
			b.drops(NoConnection, conn.ACK()) // forgotten, and no SYN
			b.wants(other, conn.SYN())
		} else {
			b.drops(ServerGone, conn.ACK())
			b.wants(other, IPv4(client, vip).TCP(2, 80).SYN()) // its template is void in any case
		}
		if !expire { // back again in time: the connection goes on (ip_vs_trash_get_dest)
			s.Servers = append(s.Servers, removed)
			b.publish()
			b.wants(n, conn.ACK())
		}
	}
}

func TestThresholds(t *testing.T) {
	for _, strict := range []bool{false, true} {
		b := newBed(t, small)
		vs := markService(1)
		vs.PersistentThresholds = strict
		b.rules = []marks.Rule{rule(1)}
		s := b.serve(vs, "10.0.0.1", "10.0.0.2")
		n := b.server(IPv4(client, vip).TCP(1, 80).SYN())
		b.tables.SetThresholds(s.Servers[n-1].ID.Number(), 1, 0)
		b.wants(3-n, IPv4("192.0.2.2", vip).TCP(1, 80).SYN())
		b.wants(3-n, IPv4("192.0.2.3", vip).TCP(1, 80).SYN())
		if got := b.server(IPv4(client, vip).TCP(2, 80).SYN()); (got == n) == strict {
			t.Errorf("persistent_thresholds %v: the client of the overloaded server %d went to %d", strict, n, got)
		}
	}
}

func TestFragmentsFollowTheFirst(t *testing.T) {
	b := newBed(t, small)
	b.rules = []marks.Rule{rule(1)}
	vs := markService(1)
	vs.Persistent = false
	b.serve(vs, "10.0.0.1", "10.0.0.2")
	vs.Key.IPv6 = true
	b.serve(vs, "fd00::1", "fd00::2")
	for name, p := range map[string]Packet{
		"IPv4": IPv4(client, vip).ID(77), "IPv6": IPv6("2001:db8:c::1", vip6).ID(77),
	} {
		for port := range uint16(4) {
			frames := p.UDP(1000+port, 53).Payload(3000).ID(uint32(100+port)).Fragments(t, 1200)
			var macs []byte
			for _, f := range frames {
				if v := b.send(f); v.Reason != Forwarded {
					t.Fatalf("%s: fragment dropped: %v", name, v.Reason)
				}
				macs = append(macs, f[5])
			}
			for _, m := range macs {
				if m != macs[0] {
					t.Errorf("%s: the fragments of one packet went to servers %v", name, macs)
					break
				}
			}
		}
	}
}

func TestICMPErrorsGoToTheConnectionsServer(t *testing.T) {
	b := newBed(t, small)
	b.serve(tcpService(80), "10.0.0.1", "10.0.0.2")
	n := b.server(IPv4(client, vip).TCP(1, 80).SYN())
	b.wants(n, IPv4("198.51.100.1", vip).Unreachable(IPv4(vip, client).TCP(80, 1)))
}

func TestClosedConnectionMayBeScheduledAnew(t *testing.T) {
	b := newBed(t, small)
	b.serve(tcpService(80), "10.0.0.1", "10.0.0.2")
	conn := IPv4(client, vip).TCP(1, 80)
	n := b.server(conn.SYN())
	b.wants(n, conn.ACK())
	b.wants(n, conn.RST())
	b.wants(n, conn.SYN()) // both may be forged
	b.wants(n, conn.ACK())
	b.wants(n, conn.RST())
	b.wait((silence + 1) * time.Second)
	b.wants(3-n, conn.SYN())
}

func TestStatesAreThoseOfIPVS(t *testing.T) {
	conn := IPv4(client, vip).TCP(1, 80)
	for want, packets := range map[affinity.State][]Packet{
		affinity.StateTCPSynRecv:     {conn.SYN(), conn.RST()},
		affinity.StateTCPEstablished: {conn.SYN(), conn.ACK(), conn.SYN()},
		affinity.StateTCPFinWait:     {conn.SYN(), conn.ACK(), conn.FIN(), conn.ACK()},
		affinity.StateTCPTimeWait:    {conn.SYN(), conn.FIN(), conn.ACK()},
		affinity.StateTCPClose:       {conn.SYN(), conn.ACK(), conn.Flags(packet.URG), conn.RST()},
	} {
		b := newBed(t, small)
		b.serve(tcpService(80), "10.0.0.1")
		for _, p := range packets {
			b.wants(1, p)
		}
		b.tables.Conns.Range(b.now, func(c affinity.Conn) bool {
			if c.State != want {
				t.Errorf("state %v, want %v", c.State, want)
			}
			return true
		})
	}
}

func TestFinishedConnectionMayBeScheduledAnew(t *testing.T) {
	b := newBed(t, small)
	b.serve(tcpService(80), "10.0.0.1", "10.0.0.2")
	conn := IPv4(client, vip).TCP(1, 80)
	n := b.server(conn.SYN())
	b.wants(n, conn.FIN())
	b.wants(3-n, conn.SYN())
}

func TestSloppyTakesAnyPacket(t *testing.T) {
	b := newBed(t, small)
	vs := tcpService(80)
	vs.Sloppy = true
	b.serve(vs, "10.0.0.1")
	b.wants(1, IPv4(client, vip).TCP(1, 80).ACK())
	b.drops(NoConnection, IPv4(client, vip).TCP(2, 80).RST())
}

func TestOnePacketKeepsNothing(t *testing.T) {
	b := newBed(t, small)
	vs := tcpService(53)
	vs.Key.Protocol, vs.OnePacket = packet.UDP, true
	b.serve(vs, "10.0.0.1", "10.0.0.2")
	p := IPv4(client, vip).UDP(1, 53)
	if first, second := b.server(p), b.server(p); first == second {
		t.Errorf("both packets of one flow went to server %d", first)
	}
	if live := b.tables.Stats().Connections4.Live; live != 0 {
		t.Errorf("%d connection entries, want none", live)
	}
}

func TestForwardDoesNotAllocate(t *testing.T) {
	b := newBed(t, small)
	b.rules = []marks.Rule{rule(1)}
	b.serve(markService(1), "10.0.0.1", "10.0.0.2")
	frames := framesOf(
		IPv4(client, vip).TCP(1, 80).SYN().Frame(t), IPv4(client, vip).TCP(1, 80).ACK().Frame(t),
		IPv4("192.0.2.5", vip).UDP(1, 80).Frame(t), IPv4(client, vip).Ping().Frame(t),
		IPv4(client, vip).TCP(9, 9).ACK().Frame(t), IPv4(client, vip).UDP(1, 80).Payload(64).ID(9).Fragment(0, 32, true).Frame(t),
		IPv4("198.51.100.1", vip).Unreachable(IPv4(vip, client).TCP(80, 1)).Frame(t),
	)
	verdicts := make([]Verdict, len(frames))
	if n := testing.AllocsPerRun(100, func() {
		b.now += 100 * affinity.TicksPerSecond // what is new is new each time
		b.Forward(frames, 1, b.now, verdicts)
		b.Forwarder.Publish()
	}); n != 0 {
		t.Errorf("%v allocations a batch, want 0", n)
	}
}

func TestFragmentsInOneBatch(t *testing.T) {
	b := newBed(t, small)
	vs := tcpService(53)
	vs.Key.Protocol = packet.UDP
	b.serve(vs, "10.0.0.1", "10.0.0.2")
	frames := IPv4(client, vip).UDP(1, 53).Payload(3000).ID(7).Fragments(t, 1200)
	verdicts := make([]Verdict, len(frames))
	b.Forward(framesOf(frames...), 1, b.now, verdicts)
	for i, v := range verdicts {
		if v.Reason != Forwarded || frames[i][5] != frames[0][5] {
			t.Errorf("fragment %d: %v to server %d, the first went to %d", i, v.Reason, frames[i][5], frames[0][5])
		}
	}
}

func TestPacketsOfOneNewConnectionInOneBatch(t *testing.T) {
	b := newBed(t, small)
	b.serve(tcpService(80), "10.0.0.1", "10.0.0.2", "10.0.0.3")
	conn, other := IPv4(client, vip).TCP(1, 80), IPv4(client, vip).TCP(2, 80)
	frames := [][]byte{conn.SYN().Frame(t), other.SYN().Frame(t), conn.ACK().Frame(t), other.ACK().Frame(t), conn.SYN().Frame(t)}
	verdicts := make([]Verdict, len(frames))
	b.Forward(framesOf(frames...), 1, b.now, verdicts)
	for i, want := range []int{0, 1, 0, 1, 0} { // the frame whose server it shares
		if verdicts[i].Reason != Forwarded || frames[i][5] != frames[want][5] {
			t.Errorf("packet %d: %v to server %d, want that of packet %d, %d", i, verdicts[i].Reason, frames[i][5], want, frames[want][5])
		}
	}
	if frames[0][5] == frames[1][5] {
		t.Error("round robin gave both connections one server")
	}
	b.tables.Conns.Range(b.now, func(c affinity.Conn) bool {
		if c.State != affinity.StateTCPEstablished {
			t.Errorf("%v is %v, want ESTABLISHED", c.Tuple, c.State)
		}
		return true
	})
}
