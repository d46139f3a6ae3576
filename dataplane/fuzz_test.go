package dataplane

import (
	"bytes"
	"testing"

	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/marks"
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
		"an INIT":                 IPv4(client, vip).SCTP(1, 80).Chunk(chunkInit),
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
		b.Forward(frames, 1, b.now, verdicts)
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
