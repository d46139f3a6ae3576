package dataplane

import (
	"testing"
	"time"

	"github.com/xlvs/xlvs/affinity"
	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// behind changes the way to every server.
func (b *bed) behind(change func(*service.NextHop)) {
	b.tb.Helper()
	for id, hop := range b.hops {
		change(&hop.Next)
		b.hops[id] = hop
	}
	b.publish()
}

// reaches sends a packet and wants it forwarded, as it came but for the checkers.
func (b *bed) reaches(p Packet, checkers ...Checker) Verdict {
	b.tb.Helper()
	v, frame := b.forward(roomy(p.Frame(b.tb)))
	if v.Reason != Forwarded || v.Answer {
		b.tb.Errorf("verdict %+v, want forwarded", v)
		return v
	}
	Check(b.tb, frame, append(checkers, HasDstMAC(serverMAC(1)))...)
	return v
}

func TestEachPacketGoesOneHopFurther(t *testing.T) {
	b := newAnswering(t)
	for _, p := range []Packet{IPv4(client, vip), IPv6(client6, vip6)} {
		conn := p.TCP(1, 80)
		for _, ttl := range []uint8{2, 64, 255} {
			b.reaches(conn.SYN().TTL(ttl), HasTTL(ttl-1), ChecksumsOK())
			b.reaches(conn.ACK().TTL(ttl), HasTTL(ttl-1), ChecksumsOK())
		}
		b.reaches(p.UDP(1, 80).Payload(64).ID(5).Fragment(0, 32, true).TTL(9), HasTTL(8))
		b.reaches(p.UDP(1, 80).Payload(64).ID(5).Fragment(32, 72, false).TTL(9), HasTTL(8))
	}
	b.reaches(IPv4("198.51.100.1", vip).Unreachable(IPv4(vip, client).TCP(80, 1)).TTL(9), HasTTL(8), ChecksumsOK())
}

func TestAPacketWhoseTimeIsOverIsAnswered(t *testing.T) {
	b := newAnswering(t)
	for _, c := range []struct {
		p        Packet
		from, to string
		kind     uint8
		quoted   int
	}{
		{IPv4(client, vip), near4, client, 11, 548}, {IPv6(client6, vip6), near6, client6, 3, 1232},
	} {
		for _, ttl := range []uint8{0, 1} {
			for _, p := range []Packet{c.p.TCP(1, 80).SYN(), c.p.TCP(1, 80).SYN(), c.p.UDP(9, 80).Payload(1400), c.p.VLAN(4).UDP(9, 80)} {
				p = p.TTL(ttl)
				b.answers(TTLExceeded, p, HasAddrs(c.from, c.to), HasError(c.kind, 0, 0), Quotes(p.Frame(t), c.quoted))
			}
			b.reaches(c.p.UDP(8, 80).Payload(64).ID(6).Fragment(0, 32, true))
			b.silent(TTLExceeded, c.p.UDP(8, 80).Payload(64).ID(6).Fragment(32, 72, false).TTL(ttl))
			b.answers(NoServer, c.p.UDP(8, 81).TTL(ttl)) // it is not forwarded: no hop is taken
		}
	}
	b.reaches(IPv4(client, vip).TCP(7, 80).SYN())
	b.silent(TTLExceeded, IPv4("198.51.100.1", vip).Unreachable(IPv4(vip, client).TCP(80, 7)).TTL(1))
}

func TestErrorsComeFromTheVirtualAddressWithoutAnother(t *testing.T) {
	b := newAnswering(t)
	b.ports[1].Answer4, b.ports[1].Answer6 = packet.Addr{}, packet.Addr{}
	b.publish()
	b.answers(TTLExceeded, IPv4(client, vip).TCP(1, 80).SYN().TTL(1), HasAddrs(vip, client))
	b.answers(TTLExceeded, IPv6(client6, vip6).TCP(1, 80).SYN().TTL(1), HasAddrs(vip6, client6))
}

func TestAPacketLongerThanTheWayOut(t *testing.T) {
	b := newAnswering(t)
	b.behind(func(h *service.NextHop) { h.MTU = 1400 })
	v4, v6 := IPv4(client, vip).DontFragment(), IPv6(client6, vip6)
	for _, conn := range []Packet{v4.TCP(1, 80), v6.TCP(1, 80)} {
		b.reaches(conn.SYN())
		b.reaches(conn.ACK())
	}
	// TCP and UDP headers are 20 and 8 bytes, IPv4's 20, IPv6's 40.
	for _, c := range []struct {
		p       Packet
		payload int // that just fits
	}{{v4.TCP(1, 80).ACK(), 1360}, {v4.UDP(1, 80), 1372}, {v6.TCP(1, 80).ACK(), 1340}, {v6.UDP(1, 80), 1352}} {
		v := b.reaches(c.p.Payload(c.payload), HasLength(1400))
		if v.MTU != 0 {
			t.Errorf("a packet that fits: %+v", v)
		}
		long := c.p.Payload(c.payload + 1)
		kind, code, from := uint8(3), uint8(4), near4
		if long.Frame(t)[12] == 0x86 {
			kind, code, from = 2, 0, near6
		}
		var to packet.Parsed
		packet.Parse(long.Frame(t), &to)
		b.answers(TooBig, long, HasError(kind, code, 1400), HasAddrs(from, to.Tuple.Src.String()))
		b.answers(TooBig, long.VLAN(9), HasError(kind, code, 1400), HasVLAN(9))
	}
	// Nobody is told of what nobody may be told of.
	b.reaches(v4.UDP(5, 80).ID(4).Payload(2000).Fragment(0, 800, true))
	b.silent(TooBig, v4.UDP(5, 80).ID(4).Payload(3000).Fragment(800, 2400, true))
	about := IPv6("2001:db8:9::1", vip6).Unreachable(IPv6(vip6, client6).TCP(80, 1).Payload(1400))
	b.behind(func(h *service.NextHop) { h.MTU = 1270 })
	b.silent(TooBig, about)
}

func TestAPacketThatMayBeCutIsCutByTheWorker(t *testing.T) {
	b := newAnswering(t)
	b.behind(func(h *service.NextHop) { h.MTU = 1000 })
	p := IPv4(client, vip).UDP(1, 80).Payload(1300)
	if v := b.reaches(p, OneHopFurther(p.Frame(t))); v != (Verdict{MTU: 1000}) {
		t.Errorf("verdict %+v, want fragments of 1000 bytes", v)
	}
	b.behind(func(h *service.NextHop) { h.VLAN = 5 })
	if v := b.reaches(p, HasVLAN(5)); v != (Verdict{MTU: 1000}) {
		t.Errorf("verdict %+v, want fragments of 1000 bytes", v)
	}
	if n := b.noted()[Fragmented]; n != 2 {
		t.Errorf("%d packets fragmented, want 2", n)
	}
}

func TestWhatFollowsThePacketDoesNotMakeItTooLong(t *testing.T) {
	b := newAnswering(t)
	b.behind(func(h *service.NextHop) { h.MTU = 1000 })
	trailed := func(p Packet) Packet { return p.Trailed(func(int) []byte { return make([]byte, 1200) }) }
	p := IPv4(client, vip).UDP(1, 80).Payload(100)
	b.reaches(trailed(p), OneHopFurther(p.Frame(t)))
	p = p.VLAN(3).DontFragment()
	b.reaches(trailed(p), HasVLAN(), HasLength(128), ChecksumsOK())
}

func TestWithoutAKnownMTUEverythingFits(t *testing.T) {
	b := newAnswering(t)
	if v := b.reaches(IPv4(client, vip).UDP(1, 80).DontFragment().Payload(1700)); v.MTU != 0 {
		t.Errorf("verdict %+v", v)
	}
}

func TestAFrameLeavesWithTheTagOfItsWayOut(t *testing.T) {
	b := newAnswering(t)
	for _, p := range []Packet{IPv4(client, vip).UDP(1, 80).Payload(33), IPv6(client6, vip6).TCP(1, 80).SYN()} {
		b.behind(func(h *service.NextHop) { h.VLAN = 0 })
		untagged := OneHopFurther(p.Frame(t))
		for _, in := range []Packet{p, p.VLAN(7), p.Tag(0x88a8, 9), p.VLAN(0), p.Tag(0x88a8, 7).VLAN(8)} {
			b.reaches(in, HasVLAN(), untagged)
		}
		b.behind(func(h *service.NextHop) { h.VLAN = 100 })
		for _, in := range []Packet{p, p.VLAN(7), p.VLAN(100), p.Tag(0x88a8, 9), p.VLAN(0), p.Tag(0x88a8, 7).VLAN(8)} {
			b.reaches(in, HasVLAN(100), HasTTL(63), ChecksumsOK())
		}
		// A tag of another type, and the inner of two, are not that of the way out.
		b.reaches(p.Tag(0x88a8, 100), HasVLAN(100), OneHopFurther(p.VLAN(100).Frame(t)))
		b.reaches(p.Tag(0x88a8, 100).VLAN(8), HasVLAN(100), OneHopFurther(p.VLAN(100).Frame(t)))
		// The priority (3 bits) and drop eligibility of a tag stay.
		b.reaches(p.VLAN(7|5<<13|1<<12), OneHopFurther(p.VLAN(100|5<<13|1<<12).Frame(t)))
		b.reaches(p, OneHopFurther(p.VLAN(100).Frame(t)))
		b.reaches(p.VLAN(100), OneHopFurther(p.VLAN(100).Frame(t)))
	}
	b.drops(NoHeadroom, IPv4(client, vip).UDP(1, 80))
}

// A flood of new connections leaves known ones their answers.
func TestKnownConnectionsHaveABudgetOfTheirOwn(t *testing.T) {
	b := newAnswering(t)
	b.behind(func(h *service.NextHop) { h.MTU = 1400 })
	known := IPv4(client, vip).DontFragment().TCP(1, 80)
	b.reaches(known.SYN())
	b.reaches(known.ACK())
	for grade := affinity.Unassured; grade <= affinity.Assured; { // two packets are no acquaintance
		b.wait(2 * time.Second)
		b.reaches(known.ACK())
		b.tables.Conns.Range(b.now, func(c affinity.Conn) bool { grade = c.Grade; return false })
	}
	b.flood(2000, client) // of the same prefix, too
	b.silent(NoServer, IPv4(client, vip).UDP(1, 81))
	b.silent(TooBig, IPv4(client, vip).DontFragment().UDP(1, 80).Payload(1500)) // a first packet
	b.answers(TooBig, known.ACK().Payload(1500), HasError(3, 4, 1400))
	b.answers(TTLExceeded, known.ACK().TTL(1), HasError(11, 0, 0))
}

func TestPartialChecksumsAreCompletedWhereTheyMayBe(t *testing.T) {
	b := newAnswering(t)
	p := IPv4(client, vip).UDP(1, 80).Payload(99)
	partial := func() Frame {
		f := roomy(p.Frame(t))
		udp := f.Bytes()[34:]
		sum := ^packet.PseudoHeader(packet.AddrFrom(addrOf(client)), packet.AddrFrom(addrOf(vip)), packet.UDP, len(udp)).Checksum()
		udp[6], udp[7] = byte(sum>>8), byte(sum)
		return f
	}
	_, left := b.forward(partial())
	Check(t, left, OneHopFurther(partial().bytesOf()))
	b.ports[1].Partial = true
	b.publish()
	_, left = b.forward(partial())
	Check(t, left, OneHopFurther(p.Frame(t)), ChecksumsOK())
	b.reaches(p, OneHopFurther(p.Frame(t)))
	if n := b.noted()[ChecksumCompleted]; n != 1 {
		t.Errorf("%d checksums completed, want 1", n)
	}
	// Its checksum is right before a segment is judged by it.
	segment := IPv4(client, vip).TCP(1, 80).ACK().Numbers(5, 6)
	f := roomy(segment.Frame(t))
	tcp := f.Bytes()[34:]
	sum := ^packet.PseudoHeader(packet.AddrFrom(addrOf(client)), packet.AddrFrom(addrOf(vip)), packet.TCP, len(tcp)).Checksum()
	tcp[16], tcp[17] = byte(sum>>8), byte(sum)
	if v, out := b.forward(f); !v.Answer {
		t.Errorf("verdict %+v, want a reset", v)
	} else {
		Check(t, out, HasSegment(6, 0, packet.RST), ChecksumsOK())
	}
}

// bytesOf is Bytes of a value.
func (f Frame) bytesOf() []byte { return f.Bytes() }

func TestAdaptingDoesNotAllocate(t *testing.T) {
	b := newAnswering(t)
	b.ports[1].Partial = true
	b.behind(func(h *service.NextHop) { h.MTU, h.VLAN = 1000, 5 })
	originals := [][]byte{
		IPv4(client, vip).UDP(1, 80).Payload(1300).Frame(t), IPv4("192.0.3.1", vip).VLAN(4).UDP(1, 80).Frame(t),
		IPv4("192.0.4.1", vip).Tag(0x88a8, 1).VLAN(4).UDP(1, 80).Frame(t), IPv6(client6, vip6).UDP(1, 80).Payload(1300).Frame(t),
		IPv4("192.0.5.1", vip).UDP(1, 80).TTL(1).Frame(t),
	}
	frames, verdicts := make([]Frame, len(originals)), make([]Verdict, len(originals))
	for i := range frames {
		frames[i] = roomy(originals[i])
	}
	if n := testing.AllocsPerRun(100, func() {
		for i, o := range originals {
			frames[i].Start, frames[i].End = headroom, uint32(headroom+copy(frames[i].Buffer[headroom:], o))
		}
		b.now += affinity.TicksPerSecond
		b.Forward(frames, 1, b.now, verdicts)
		for i := range verdicts {
			if !verdicts[i].leaves() {
				t.Fatalf("frame %d: %+v", i, verdicts[i])
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations a batch, want 0", n)
	}
}

// By configuration, senders without DF are told, too.
func TestTooBigMayBeAnsweredInsteadOfFragmented(t *testing.T) {
	b := newAnswering(t)
	b.behind(func(h *service.NextHop) { h.MTU = 1400 })
	p := IPv4(client, vip).UDP(1, 80).Payload(1500)
	if v := b.reaches(p); v.MTU != 1400 {
		t.Errorf("verdict %+v, want it cut for 1400", v)
	}
	for _, vs := range b.services {
		vs.AnswerTooBig = true
	}
	b.publish()
	b.answers(TooBig, p, HasError(3, 4, 1400))
}
