package dataplane

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/xlvs/xlvs/affinity"
	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

const (
	client6 = "2001:db8:c::1"
	// The director's addresses on the clients' side.
	near4, near6 = "198.51.100.254", "2001:db8:ffff::254"
)

// newAnswering is a bed that answers, by port 1 of 2, with services of TCP, UDP and SCTP
// on ports 80 (one server) and 81 (none) of both families.
func newAnswering(tb testing.TB) *bed {
	b := newBed(tb, small)
	b.ports = []Port{{Interface: 7}, {
		Interface: 1, Answer4: packet.AddrFrom(addrOf(near4)), Answer6: packet.AddrFrom(addrOf(near6)),
		MACs: [][6]byte{{2, 9, 9, 9, 9, 9}, DirectorMAC},
	}}
	b.own = map[packet.Addr]struct{}{packet.AddrFrom(addrOf(near4)): {}, packet.AddrFrom(addrOf(near6)): {}}
	for _, to := range []string{vip, vip6} {
		for _, protocol := range []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP} {
			vs := service.VirtualService{Key: service.Key{Protocol: protocol, Addr: addrOf(to), Port: 80}}
			b.serve(vs, map[string]string{vip: "10.0.0.1", vip6: "fd00::1"}[to])
			vs.Key.Port = 81
			b.serve(vs)
		}
	}
	return b
}

// answers sends a packet, and wants it dropped for a reason and answered by the port that
// it came by, with addresses and MACs the other way round and every checksum right.
func (b *bed) answers(reason Reason, p Packet, checkers ...Checker) {
	b.tb.Helper()
	original := p.Frame(b.tb)
	v, frame := b.forward(roomy(original))
	if want := (Verdict{Reason: reason, Port: 1, Answer: true}); v != want {
		b.tb.Errorf("verdict %+v, want %+v", v, want)
		return
	}
	Check(b.tb, frame, append(checkers, HasDstMAC(RouterMAC), HasSrcMAC(DirectorMAC), ChecksumsOK(), HasTTL(64))...)
	if len(frame) < min(60, len(original)) {
		b.tb.Errorf("an answer of %d bytes to a frame of %d", len(frame), len(original))
	}
	var parsed packet.Parsed
	packet.Parse(frame, &parsed)
	if padding := frame[parsed.L3+parsed.Len:]; !bytes.Equal(padding, make([]byte, len(padding))) {
		b.tb.Errorf("padded with % x", padding)
	}
}

// silent sends a packet, and wants it dropped for a reason, untouched and unanswered.
func (b *bed) silent(reason Reason, p Packet) {
	b.tb.Helper()
	original := p.Frame(b.tb)
	v, frame := b.forward(roomy(original))
	if v != (Verdict{Reason: reason}) {
		b.tb.Errorf("verdict %+v, want %v and no answer", v, reason)
	}
	Check(b.tb, frame, Unchanged(original))
}

func TestWhoGetsNoServerIsTold(t *testing.T) {
	b := newAnswering(t)
	for name, p := range map[string]Packet{
		"tcp": IPv4(client, vip).TCP(1, 81).SYN(), "udp": IPv4(client, vip).UDP(1, 81).Payload(100),
		"sctp": IPv4(client, vip).SCTP(1, 81).Chunk(packet.ChunkInit).Payload(16),
		"tags": IPv4(client, vip).Tag(0x88a8, 7).VLAN(8).UDP(1, 81), "options": IPv4(client, vip).Options(8).UDP(1, 81),
		"first fragment": IPv4(client, vip).UDP(1, 81).Payload(64).ID(9).Fragment(0, 32, true),
		"padding":        IPv4(client, vip).UDP(1, 81).Padded(60),
	} {
		t.Run("IPv4 "+name, func(t *testing.T) {
			b.tb = t
			b.answers(NoServer, p, HasAddrs(vip, client), HasError(3, 3, 0), Quotes(p.Frame(t), 548))
		})
	}
	for name, p := range map[string]Packet{
		"tcp": IPv6(client6, vip6).TCP(1, 81).SYN(), "udp": IPv6(client6, vip6).UDP(1, 81).Payload(100),
		"sctp": IPv6(client6, vip6).SCTP(1, 81).Chunk(packet.ChunkInit).Payload(16),
		"tag":  IPv6(client6, vip6).VLAN(8).UDP(1, 81), "extensions": IPv6(client6, vip6).Through(HopByHop(8)).UDP(1, 81),
	} {
		t.Run("IPv6 "+name, func(t *testing.T) {
			b.tb = t
			b.answers(NoServer, p, HasAddrs(vip6, client6), HasError(1, 4, 0), Quotes(p.Frame(t), 1232))
		})
	}
	b.tb = t
	b.answers(NoServer, IPv4(client, vip).VLAN(8).UDP(1, 81), HasVLAN(8))
	b.answers(NoServer, IPv4(client, vip).Tag(0x88a8, 7).VLAN(8).UDP(1, 81), HasVLAN(7, 8))
}

func TestErrorsAreNoLongerThanAllowed(t *testing.T) {
	b := newAnswering(t)
	for _, n := range []int{0, 519, 520, 521, 1400} {
		p := IPv4(client, vip).UDP(1, 81).Payload(n)
		b.answers(NoServer, p, HasLength(min(576, 56+n)), Quotes(p.Frame(t), 548))
		p = IPv6(client6, vip6).UDP(1, 81).Payload(n)
		b.answers(NoServer, p, HasLength(min(1280, 96+n)), Quotes(p.Frame(t), 1232))
	}
}

func TestASegmentOfNoConnectionIsReset(t *testing.T) {
	b := newAnswering(t)
	for _, family := range []struct {
		p        Packet
		vip, own string
	}{{IPv4(client, vip), vip, client}, {IPv6(client6, vip6), vip6, client6}} {
		tcp := family.p.TCP(1234, 80)
		back := []Checker{HasAddrs(family.vip, family.own), HasPorts(80, 1234)}
		for _, c := range []struct {
			p        Packet
			seq, ack uint32
			flags    uint8
		}{
			{tcp.ACK().Numbers(1000, 5000).Payload(100), 5000, 0, packet.RST},
			{tcp.ACK().FIN().Numbers(1000, 0xffffffff), 0xffffffff, 0, packet.RST},
			{tcp.Numbers(1000, 5000).Payload(100), 0, 1100, packet.RST | packet.ACK},
			{tcp.FIN().Numbers(1000, 5000).Payload(7), 0, 1008, packet.RST | packet.ACK},
			{tcp.FIN().Numbers(0xffffffff, 0).TCPOptions(12), 0, 0, packet.RST | packet.ACK},
			{tcp.Flags(packet.PSH|packet.URG).Numbers(0xfffffff0, 0).Payload(20), 0, 4, packet.RST | packet.ACK},
			{tcp.VLAN(5).ACK().Numbers(1, 2).Payload(1400), 2, 0, packet.RST},
		} {
			b.answers(NoConnection, c.p, append(back, HasSegment(c.seq, c.ack, c.flags))...)
		}
		b.silent(NoConnection, tcp.RST())
		b.silent(NoConnection, tcp.RST().ACK().Numbers(1, 2))
		b.silent(NoConnection, tcp.SYN().RST())
		b.silent(NoConnection, tcp.ACK().WrongChecksum())
		b.silent(NoConnection, tcp.ACK().Payload(64).Fragment(0, 40, true))
	}
	b.answers(NoConnection, IPv4(client, vip).Options(12).TCP(1, 80).ACK().Numbers(3, 4), HasSegment(4, 0, packet.RST), HasLength(40))
	b.answers(NoConnection, IPv6(client6, vip6).Through(HopByHop(8)).TCP(1, 80).ACK().Numbers(3, 4), HasSegment(4, 0, packet.RST), HasLength(60))
}

func TestAPacketOutOfTheBlueIsAborted(t *testing.T) {
	const reflects = 1
	b := newAnswering(t)
	for _, p := range []Packet{IPv4(client, vip), IPv6(client6, vip6)} {
		sctp := p.SCTP(1234, 80).Verified(0xdeadbeef)
		for kind := range uint8(16) {
			chunk := sctp.Chunk(kind).Payload(8)
			switch kind {
			case packet.ChunkInit: // opens an association
			case packet.ChunkAbort, packet.ChunkShutdownComplete, packet.ChunkCookieAck:
				b.silent(NoConnection, chunk)
			case packet.ChunkShutdownAck:
				b.answers(NoConnection, chunk, HasPorts(80, 1234), HasChunk(packet.ChunkShutdownComplete, reflects, 0xdeadbeef))
			default:
				b.answers(NoConnection, chunk, HasPorts(80, 1234), HasChunk(packet.ChunkAbort, reflects, 0xdeadbeef))
			}
		}
		b.silent(NoConnection, sctp.WrongChecksum())
		b.silent(NoConnection, sctp.Chunk(packet.ChunkAbort).Behind(packet.ChunkData, 5))
		stale, other := []byte{0, 3, 0, 8, 0, 0, 0, 1}, []byte{0, 1, 0, 6, 0, 0, 0, 0}
		unknown := sctp.Chunk(packet.ChunkError)
		b.silent(NoConnection, unknown.Data(stale))
		b.silent(NoConnection, unknown.Data(slices.Concat(other, stale)))
		b.silent(NoConnection, unknown.Data(stale).Behind(packet.ChunkSack, 12))
		for _, cause := range [][]byte{nil, other, {0, 3}, {0, 0, 0, 0, 0, 3, 0, 8}} {
			b.answers(NoConnection, unknown.Data(cause), HasChunk(packet.ChunkAbort, reflects, 0xdeadbeef))
		}
		b.answers(NoConnection, sctp.Chunk(packet.ChunkSack).Behind(packet.ChunkData, 5), HasChunk(packet.ChunkAbort, reflects, 0xdeadbeef))
	}
}

func TestWhatNoServiceTakesIsRefusedByThePolicyForAll(t *testing.T) {
	b := newAnswering(t)
	tcp := IPv4(client, vip).TCP(1, 8080)
	init := IPv4(client, vip).SCTP(1, 8080).Chunk(packet.ChunkInit).Data([]byte{1, 2, 3, 4, 0, 0, 0, 0})
	b.answers(NoService, tcp.SYN().Numbers(9, 0), HasSegment(0, 10, packet.RST|packet.ACK))
	b.answers(NoService, IPv4(client, vip).UDP(1, 8080), HasError(3, 3, 0), HasAddrs(vip, client))
	// An INIT names the tag that its sender wants to see (RFC 9260, 8.4, rule 3).
	b.answers(NoService, init.Verified(0), HasChunk(packet.ChunkAbort, 0, 0x01020304))
	b.silent(NoService, init.Verified(1))
	b.silent(NoService, IPv4(client, vip).SCTP(1, 8080).Verified(0).Chunk(packet.ChunkInit))
	b.refuse = service.RefuseDrop
	b.publish()
	b.silent(NoService, tcp.SYN())
}

// TestWhatComesFromPort20IsRefused: IPVS leaves it to the director's own stack.
func TestWhatComesFromPort20IsRefused(t *testing.T) {
	b := newAnswering(t)
	p := IPv4(client, vip)
	refused := HasSegment(0, 10, packet.RST|packet.ACK)
	b.answers(FTPDataSource, p.TCP(20, 80).SYN().Numbers(9, 0), refused)
	b.answers(FTPDataSource, p.UDP(20, 80), HasError(3, 3, 0), HasAddrs(vip, client))
}

func TestRefuseDropIsSilence(t *testing.T) {
	b := newAnswering(t)
	for _, vs := range b.services {
		vs.Refuse = service.RefuseDrop
	}
	b.publish()
	b.silent(NoServer, IPv4(client, vip).UDP(1, 81))
	b.silent(NoConnection, IPv4(client, vip).TCP(1, 80).ACK())
	b.silent(NoConnection, IPv4(client, vip).SCTP(1, 80))
}

func TestWhatIsNeverAnswered(t *testing.T) {
	b := newAnswering(t)
	from := func(src string) Packet { return IPv4(src, vip) }
	for _, src := range []string{
		"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "224.0.0.1", "239.255.255.255",
		"240.0.0.1", "255.255.255.255", near4, vip,
	} {
		b.silent(NoServer, from(src).UDP(1, 81))
		b.silent(NoConnection, from(src).TCP(1, 80).ACK())
	}
	for _, src := range []string{"::", "::1", "ff02::1", near6, vip6} {
		b.silent(NoServer, IPv6(src, vip6).UDP(1, 81))
		b.silent(NoConnection, IPv6(src, vip6).TCP(1, 80).ACK())
	}
	udp := from(client).UDP(1, 81)
	b.silent(NoServer, udp.To(MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}))
	b.silent(NoServer, udp.To(MAC{1, 0, 0x5e, 0, 0, 1}))
	b.silent(NoServer, udp.To(MAC{2, 0xaa, 0xbb, 0xcc, 0xdd, 1}))
	b.silent(NoServer, udp.From(MAC{3, 0, 0, 0, 0, 1}))
	b.answers(NoServer, udp.To(DirectorMAC), HasError(3, 3, 0))
	b.silent(FragmentUnknown, udp.Payload(64).Fragment(32, 64, false))
	b.silent(ErrorUnknown, from(client).Unreachable(IPv4(vip, client).UDP(81, 1)))
	b.silent(NotBalanced, from(client).Ping())
	// A port that the snapshot has not, and a frame without room before it.
	b.ports = nil
	b.publish()
	b.silent(NoServer, udp)
	b = newAnswering(t)
	b.drops(NoServer, udp)
}

// counts are the notes so far.
func (b *bed) noted() (notes [Notes]uint64) {
	b.Forwarder.Publish()
	b.Notes(&notes)
	return notes
}

func TestAnswersAreCountedBesideTheirReason(t *testing.T) {
	b := newAnswering(t)
	b.answers(NoServer, IPv4(client, vip).UDP(1, 81))
	b.silent(NoServer, IPv4("127.0.0.1", vip).UDP(1, 81))
	var reasons [Reasons]uint64
	notes := b.noted()
	b.Reasons(&reasons)
	if notes[Answered] != 1 || notes[AnswerLimited] != 0 || reasons[NoServer] != 2 {
		t.Errorf("answered %d, limited %d, no server %d, want 1, 0, 2", notes[Answered], notes[AnswerLimited], reasons[NoServer])
	}
}

// flood sends n refused packets from each of some sources, in turn, and returns how
// many of each were answered.
func (b *bed) flood(n int, sources ...string) []int {
	answered := make([]int, len(sources))
	frames := make([][]byte, len(sources))
	for i, s := range sources {
		frames[i] = IP(addrOf(s), addrOf(map[bool]string{true: vip, false: vip6}[addrOf(s).Is4()])).UDP(1, 81).Frame(b.tb)
	}
	for range n {
		for i := range frames {
			if v, _ := b.forward(roomy(frames[i])); v.Answer {
				answered[i]++
			}
		}
	}
	return answered
}

func TestAnswersAreBoundedBySourcePrefixAndInAll(t *testing.T) {
	for _, c := range []struct {
		sources []string
		want    []int
	}{
		{[]string{client}, []int{500}},
		{[]string{client, "192.0.2.200"}, []int{250, 250}}, // one prefix
		{[]string{client, "192.0.3.1"}, []int{333, 333}},
		{[]string{client6, "2001:db8:c:0:ffff::1"}, []int{250, 250}},
		{[]string{client6, "2001:db8:c:1::1"}, []int{333, 333}},
	} {
		b := newAnswering(t)
		got := b.flood(2000, c.sources...)
		for i := range got {
			if diff := got[i] - c.want[i]; diff < -1 || diff > 1 {
				t.Errorf("%v: %v answered, want %v", c.sources, got, c.want)
			}
		}
		if late := b.flood(1, "10.1.2.3"); late[0] != 1 {
			t.Errorf("%v: who came after them was not answered", c.sources)
		}
		limited := b.noted()[AnswerLimited]
		if want := uint64(2000*len(c.sources)) - uint64(sumOf(got)); limited != want {
			t.Errorf("%v: %d limited, want %d", c.sources, limited, want)
		}
		b.now += affinity.TicksPerSecond // the next second's budget
		if again := b.flood(2000, c.sources...); !slices.Equal(again, got) {
			t.Errorf("%v: %v answered in the next second, want %v", c.sources, again, got)
		}
	}
	b := newAnswering(t)
	var sources []string
	for i := range 2000 {
		sources = append(sources, fmt.Sprintf("10.%d.%d.1", i/256, i%256))
	}
	if total := sumOf(b.flood(2, sources...)); total != 1000 {
		t.Errorf("%d answers to 2000 prefixes in a second, want 1000", total)
	}
}

func sumOf(n []int) (sum int) {
	for _, i := range n {
		sum += i
	}
	return sum
}

func TestAnswersDoNotAllocate(t *testing.T) {
	b := newAnswering(t)
	originals := [][]byte{
		IPv4(client, vip).UDP(1, 81).Frame(t), IPv4("192.0.3.1", vip).TCP(1, 80).ACK().Frame(t),
		IPv4("192.0.4.1", vip).SCTP(1, 80).Frame(t), IPv6(client6, vip6).UDP(1, 81).Frame(t),
		IPv6(client6, vip6).TCP(1, 80).ACK().Frame(t),
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
		for i, v := range verdicts {
			if !v.Answer {
				t.Fatalf("frame %d: %+v", i, v)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations a batch, want 0", n)
	}
}
