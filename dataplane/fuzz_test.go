package dataplane

import (
	"bytes"
	"testing"

	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// FuzzForward sends anything at all through a director with every kind of
// service. Whatever comes: it does not read beyond the frame, the verdict is one
// that is counted, a forwarded frame has a port that exists and differs from what
// came in by its MAC addresses only, and a dropped one by nothing.
func FuzzForward(f *testing.F) {
	for name, frame := range map[string]Packet{
		"a new connection":        IPv4(client, vip).TCP(1024, 80).SYN(),
		"IPv6 with extensions":    IPv6("2001:db8:c::1", vip6).Through(HopByHop(8), Routing(1)).UDP(9, 53),
		"two tags, options":       IPv4(client, vip).Tag(0x88a8, 1).VLAN(2).Options(8).TCP(1, 80).SYN(),
		"a first fragment":        IPv4(client, vip).UDP(9, 53).Payload(64).ID(7).Fragment(0, 32, true),
		"a later fragment":        IPv4(client, vip).UDP(9, 53).Payload(64).ID(7).Fragment(32, 64, false),
		"an ICMP error":           IPv4("198.51.100.1", vip).Unreachable(IPv4(vip, client).TCP(80, 1024)),
		"an INIT":                 IPv4(client, vip).SCTP(1, 80).Chunk(packet.ChunkInit),
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
	b.serve(markService(1), "10.0.0.1", "10.0.0.2")
	b.serve(service.VirtualService{Key: service.Key{Mark: 1, IPv6: true}}, "fd00::1")
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var before, after [Reasons]uint64
		b.Forwarder.Publish()
		b.Reasons(&before)
		frames, originals := make([][]byte, 2), [][]byte{first, second}
		for i, o := range originals {
			frames[i] = append(make([]byte, 0, len(o)), o...) // nothing behind it that could be read
			frames[i] = frames[i][:len(o):len(o)]
		}
		verdicts := make([]Verdict, 2)
		b.now++
		b.Forward(framesOf(frames...), 1, b.now, verdicts)
		b.Forwarder.Publish()
		b.Reasons(&after)
		for i, v := range verdicts {
			if after[v.Reason] <= before[v.Reason] {
				t.Errorf("verdict %v is not counted", v.Reason)
			}
			skip := 0
			if v.Reason == Forwarded {
				skip = 12
				if v.Port != 0 {
					t.Errorf("forwarded by port %d, which does not exist", v.Port)
				}
			}
			if !bytes.Equal(frames[i][skip:], originals[i][skip:]) {
				t.Errorf("verdict %v, and the frame was changed:\n% x\n% x", v.Reason, originals[i], frames[i])
			}
		}
		if sum(&after)-sum(&before) != 2 {
			t.Errorf("2 frames gave %d counts", sum(&after)-sum(&before))
		}
	})
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
			checkAnswer(t, original, &p, frame.Bytes(), builders)
		}
	})
}

// checkAnswer wants an answer to a packet to be what FuzzAnswers promises.
func checkAnswer(t *testing.T, original []byte, p *packet.Parsed, answer []byte, builders []builder) {
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
	for i, build := range builders[3:] {
		if a.Tuple.Protocol == []packet.Protocol{packet.TCP, packet.SCTP}[i] && build(&again, &a, &about{}) {
			t.Errorf("an answer is answered: % x", answer)
		}
	}
}
