package dataplane

import (
	"bytes"
	"testing"

	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// FuzzForward sends anything at all through a director with every kind of service and of
// way out. Whatever comes, the verdict is one that is counted. What leaves does so by a port
// that exists: a packet with new MAC addresses, one hop less and the tag of the way out, no
// longer than that takes, or an answer. What is dropped is as it came.
func FuzzForward(f *testing.F) {
	for name, frame := range map[string]Packet{
		"a new connection":        IPv4(client, vip).TCP(1024, 80).SYN(),
		"IPv6 with extensions":    IPv6("2001:db8:c::1", vip6).Through(HopByHop(8), Routing(1)).UDP(9, 53),
		"two tags, options":       IPv4(client, vip).Tag(0x88a8, 1).VLAN(2).Options(8).TCP(1, 80).SYN(),
		"a first fragment":        IPv4(client, vip).UDP(9, 53).Payload(64).ID(7).Fragment(0, 32, true),
		"a later fragment":        IPv4(client, vip).UDP(9, 53).Payload(64).ID(7).Fragment(32, 64, false),
		"an ICMP error":           IPv4("198.51.100.1", vip).Unreachable(IPv4(vip, client).TCP(80, 1024)),
		"an INIT":                 IPv4(client, vip).SCTP(1, 80).Chunk(packet.ChunkInit),
		"a stray segment":         IPv4(client, vip).TCP(1, 81).ACK().TTL(1),
		"a long datagram":         IPv4(client, vip).UDP(1, 80).Payload(1000),
		"too long":                IPv4(client, vip).DontFragment().UDP(1, 80).Payload(1000),
		"a length that lies":      IPv4(client, vip).TCP(1, 80).SYN().Length(2000),
		"a data offset that lies": IPv4(client, vip).TCP(1, 80).SYN().DataOffset(15),
	} {
		b, err := frame.Bytes()
		if err != nil {
			f.Fatalf("%s: %v", name, err)
		}
		f.Add(b, b[:len(b)/2])
	}
	b := newBed(f, small)
	b.rules = []marks.Rule{rule(1)}
	b.ports = []Port{{Interface: 1, Partial: true}}
	b.serve(markService(1), "10.0.0.1", "10.0.0.2")
	b.serve(service.VirtualService{Key: service.Key{Mark: 1, IPv6: true}}, "fd00::1")
	const mtu, vlan = 900, 7
	for id, hop := range b.hops {
		hop.Next.MTU = mtu
		if id.Number() == 2 {
			hop.Next.VLAN = vlan
		}
		b.hops[id] = hop
	}
	b.publish()
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var before, after [Reasons]uint64
		b.Forwarder.Publish()
		b.Reasons(&before)
		frames, originals := make([]Frame, 2), [][]byte{first, second}
		for i, o := range originals {
			if len(o) > 1700 {
				return
			}
			frames[i] = roomy(o)
		}
		verdicts := make([]Verdict, 2)
		b.now++
		b.Forward(frames, 1, b.now, verdicts)
		b.Forwarder.Publish()
		b.Reasons(&after)
		for i, v := range verdicts {
			if after[v.Reason] <= before[v.Reason] {
				t.Errorf("verdict %v is not counted", v.Reason)
			}
			var p packet.Parsed
			packet.Parse(originals[i], &p)
			switch got := frames[i].Bytes(); {
			case v.leaves() && v.Port != 0:
				t.Errorf("leaves by port %d, which does not exist", v.Port)
			case v.Answer && v.Reason == Forwarded:
				t.Error("forwarded, and an answer")
			case v.Answer:
				checkAnswer(t, originals[i], &p, got)
			case v.Reason == Forwarded:
				checkForwarded(t, originals[i], &p, got, v, mtu)
			case frames[i].Start != headroom || len(got) != len(originals[i]):
				t.Errorf("verdict %v, and the frame was moved", v.Reason)
			}
		}
		if sum(&after)-sum(&before) != 2 {
			t.Errorf("2 frames gave %d counts", sum(&after)-sum(&before))
		}
	})
}

// checkForwarded wants what leaves to be the packet that came, one hop further, behind the
// link header of its way out.
func checkForwarded(t *testing.T, original []byte, p *packet.Parsed, got []byte, v Verdict, mtu int) {
	t.Helper()
	var q packet.Parsed
	if m := packet.Parse(got, &q); m != packet.OK {
		t.Fatalf("malformed: %v\n% x", m, got)
	}
	if q.Len != p.Len || q.TTL != p.TTL-1 || q.Tuple != p.Tuple || q.Kind != p.Kind || q.Flags != p.Flags {
		t.Errorf("%+v became %+v", p, q)
	}
	if wanted := got[5] == 2; (q.Tags == 1) != wanted || q.Tags > 1 || wanted && q.VLAN != 7 {
		t.Errorf("%d tags with %d on the way to server %d", q.Tags, q.VLAN, got[5])
	}
	if long := len(got)-int(q.L3) > mtu; long != (v.MTU != 0) || long && int(v.MTU) != mtu {
		t.Errorf("%d bytes behind the link header, verdict %+v", len(got)-int(q.L3), v)
	}
	ttl, sum := 7, 0 // of IPv6
	if p.Tuple.Src.Is4() {
		ttl, sum = 8, 10
	}
	want, now := bytes.Clone(original[p.L3:p.L3+p.Len]), bytes.Clone(got[q.L3:q.L3+q.Len])
	for _, ip := range [][]byte{want, now} {
		ip[ttl] = 0
		if sum != 0 {
			ip[sum], ip[sum+1] = 0, 0
		}
		clear(ip[min(len(ip), int(p.L4-p.L3)):min(len(ip), int(p.L4-p.L3)+20)]) // a partial checksum is completed
	}
	if !bytes.Equal(want, now) {
		t.Errorf("% x\nbecame % x", original, got)
	}
}

func sum(counts *[Reasons]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// FuzzAnswers turns anything at all round in every way. What comes of it is a frame of
// its own: it parses, its sums are right, it is no longer than allowed, it goes back to who
// sent it, nothing beyond it was written, and nobody who gets it answers it.
func FuzzAnswers(f *testing.F) {
	for name, p := range map[string]Packet{
		"a segment":         IPv4(client, vip).TCP(1024, 80).ACK().Numbers(1, 2).Payload(40),
		"a segment of IPv6": IPv6(client6, vip6).VLAN(2).TCP(1024, 80).Numbers(1, 2),
		"a datagram":        IPv4(client, vip).Options(8).UDP(9, 53).Payload(700),
		"extensions":        IPv6(client6, vip6).Through(HopByHop(8), Routing(1)).UDP(9, 53).Payload(1300),
		"an INIT":           IPv4(client, vip).SCTP(1, 80).Verified(0).Chunk(packet.ChunkInit).Payload(16),
		"chunks":            IPv6(client6, vip6).SCTP(1, 80).Chunk(packet.ChunkSack).Behind(packet.ChunkData, 5),
		"a first fragment":  IPv4(client, vip).UDP(9, 53).Payload(64).ID(7).Fragment(0, 32, true),
	} {
		b, err := p.Bytes()
		if err != nil {
			f.Fatalf("%s: %v", name, err)
		}
		f.Add(b, uint16(1400))
	}
	builders := []builder{unreachable, tooBig, timeExceeded, reset, abort}
	f.Fuzz(func(t *testing.T, original []byte, mtu uint16) {
		var p packet.Parsed
		if len(original) > 1700 || packet.Parse(original, &p) != packet.OK || (p.Kind != packet.KindFlow && p.Kind != packet.KindFirst) {
			return
		}
		from := about{from: packet.AddrFrom(addrOf(near6)), mtu: int(mtu)}
		if p.Tuple.Src.Is4() {
			from.from = packet.AddrFrom(addrOf(near4))
		}
		for i, build := range builders {
			if i > 2 && p.Tuple.Protocol != []packet.Protocol{packet.TCP, packet.SCTP}[i-3] {
				continue
			}
			frame := roomy(original)
			behind := bytes.Clone(frame.Buffer[headroom+len(original):])
			if !build(&frame, &p, &from) {
				if frame.Start != headroom || !bytes.Equal(frame.Bytes(), original) {
					t.Errorf("builder %d: refused, and the frame was changed", i)
				}
				continue
			}
			if !bytes.Equal(frame.Buffer[headroom+len(original):], behind) {
				t.Errorf("builder %d wrote behind the frame", i)
			}
			checkAnswer(t, original, &p, frame.Bytes())
		}
	})
}

// checkAnswer wants an answer to a packet to be what FuzzAnswers promises.
func checkAnswer(t *testing.T, original []byte, p *packet.Parsed, answer []byte) {
	t.Helper()
	limit := map[bool]int{true: longestError4, false: longestError6}[p.Tuple.Src.Is4()]
	var a packet.Parsed
	if m := packet.Parse(answer, &a); m != packet.OK {
		t.Fatalf("malformed answer: %v\n% x", m, answer)
	}
	ends, sent := packet.Ethernet(answer), packet.Ethernet(original)
	if ends.Dst() != sent.Src() || ends.Src() != sent.Dst() || !bytes.Equal(answer[12:p.L3], original[12:p.L3]) {
		t.Errorf("the link header is % x, of % x", answer[:p.L3], original[:p.L3])
	}
	if int(a.Len) > limit || len(answer) > max(int(a.L3+a.Len), leastFrame) {
		t.Errorf("%d bytes of %d, want %d at most", a.Len, len(answer), limit)
	}
	if a.Kind == packet.KindOther { // an error about a fragment of IPv6 behind too many bytes to quote its ports
		return
	}
	Check(t, answer, ChecksumsOK())
	if a.Kind == packet.KindError {
		return // never answered, see answerable
	}
	again := roomy(answer)
	for i, build := range []builder{reset, abort} {
		if a.Tuple.Protocol == []packet.Protocol{packet.TCP, packet.SCTP}[i] && build(&again, &a, &about{}) {
			t.Errorf("an answer is answered: % x", answer)
		}
	}
}
