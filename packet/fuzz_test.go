package packet_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

// FuzzParse holds Parse to what it promises, for any bytes at all. Its seeds are
// the frames of the tables above, with their names.
func FuzzParse(f *testing.F) {
	for _, test := range wellFormed {
		addFrame(f, test.name, test.packet)
	}
	for _, test := range malformed {
		addFrame(f, test.name, test.packet)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		frame = slices.Clip(bytes.Clone(frame)) // reading past the end panics
		before := bytes.Clone(frame)
		p, q := packet.Parsed{}, stale()
		m := packet.Parse(frame, &p)
		if again := packet.Parse(frame, &q); again != m || p != q {
			t.Fatalf("depends on what was parsed before: %v, %v\n%s", m, again, cmp.Diff(p, q))
		}
		if !bytes.Equal(frame, before) {
			t.Fatal("the frame was written to")
		}
		if m != packet.OK {
			if p.Kind != packet.KindOther || p.Tuple != (packet.Tuple{}) {
				t.Fatalf("%v, but kind %v and tuple %v", m, p.Kind, p.Tuple)
			}
			return
		}
		checkOffsets(t, frame, &p)
		checkTrailing(t, frame, &p)
		checkGopacket(t, frame, &p)
	})
}

func addFrame(f *testing.F, name string, p Packet) {
	frame, err := p.Bytes()
	if err != nil {
		f.Fatalf("seed %q: %v", name, err)
	}
	f.Add(frame)
}

// checkOffsets wants everything where a frame can have it.
func checkOffsets(t rapid.TB, frame []byte, p *packet.Parsed) {
	t.Helper()
	l3, l4, end := int(p.L3), int(p.L4), int(p.L3)+int(p.Len)
	if p.Len == 0 {
		if p.Kind != packet.KindOther || l3 != 0 {
			t.Fatalf("no packet, but %+v", p)
		}
		return
	}
	if want := packet.EthernetLen + int(p.Tags)*packet.VLANTagLen; l3 != want || end > len(frame) || p.Tags > 2 {
		t.Fatalf("IP packet from %d to %d in a frame of %d bytes with %d tags", l3, end, len(frame), p.Tags)
	}
	least := packet.IPv4Len
	if frame[l3]>>4 == 6 {
		least = packet.IPv6Len
	}
	switch {
	case p.Kind == packet.KindOther:
		if l4 != 0 || p.Tuple != (packet.Tuple{}) || p.Flags != 0 || p.FragmentID != 0 {
			t.Fatalf("a use for KindOther: %+v", p)
		}
		return
	case l4 < l3+least || l4 > end:
		t.Fatalf("transport header at %d of a packet from %d to %d", l4, l3, end)
	case p.Kind != packet.KindFragment && l4+packet.UDPLen > end:
		t.Fatalf("transport header at %d of a packet that ends at %d", l4, end)
	case p.Tuple.Src.Is4() != (least == packet.IPv4Len) || p.Tuple.Dst.Is4() != p.Tuple.Src.Is4():
		t.Fatalf("tuple %v of another family", p.Tuple)
	}
	switch p.Tuple.Protocol {
	case packet.TCP, packet.UDP, packet.SCTP:
	default:
		if p.Kind != packet.KindFragment || p.Tuple.Protocol != 0 || p.Tuple.Src.Is4() {
			t.Fatalf("protocol %d has no ports", p.Tuple.Protocol)
		}
	}
}

// checkTrailing wants what follows the packet not to matter.
func checkTrailing(t rapid.TB, frame []byte, p *packet.Parsed) {
	t.Helper()
	if p.Len == 0 {
		return
	}
	bare := slices.Clip(frame[:int(p.L3)+int(p.Len)])
	for _, trailer := range [][]byte{nil, make([]byte, 64), bytes.Repeat([]byte{0xff}, 64)} {
		var q packet.Parsed
		if m := packet.Parse(slices.Concat(bare, trailer), &q); m != packet.OK || q != *p {
			t.Fatalf("%d bytes behind the packet change it: %v\n%s", len(trailer), m, cmp.Diff(*p, q))
		}
	}
}

// checkGopacket wants a whole flow's packet to be what gopacket makes of it,
// where it makes something of it.
func checkGopacket(t rapid.TB, frame []byte, p *packet.Parsed) (decoded bool) {
	t.Helper()
	if p.Kind != packet.KindFlow {
		return false
	}
	first := layers.LayerTypeIPv4
	if !p.Tuple.Src.Is4() {
		first = layers.LayerTypeIPv6
	}
	ip := frame[p.L3 : p.L3+p.Len]
	g := gopacket.NewPacket(ip, first, gopacket.DecodeOptions{Lazy: false, NoCopy: true})
	network, transport := g.NetworkLayer(), g.TransportLayer()
	if g.ErrorLayer() != nil || network == nil || transport == nil {
		return false
	}
	// What it carries may be decoded on, into another packet: the first counts.
	want := gopacketParsed(network, transport)
	got := packet.Parsed{Tuple: p.Tuple, DSCP: p.DSCP, TTL: p.TTL, Flags: p.Flags}
	if p.Tuple.Protocol == packet.SCTP {
		got.Flags = 0
	}
	if got != want {
		t.Fatalf("gopacket has another opinion:\n%s\n%v", cmp.Diff(want, got), g)
	}
	if at := len(ip) - len(transport.LayerContents()) - len(transport.LayerPayload()); p.Tuple.Protocol != packet.UDP &&
		int(p.L4-p.L3) != at {
		t.Fatalf("transport header at %d of the packet, gopacket says %d", p.L4-p.L3, at)
	}
	return true
}

func gopacketParsed(network gopacket.NetworkLayer, transport gopacket.TransportLayer) packet.Parsed {
	var p packet.Parsed
	switch h := network.(type) {
	case *layers.IPv4:
		p.Tuple.Src, p.Tuple.Dst = addr(h.SrcIP.String()), addr(h.DstIP.String())
		p.DSCP, p.TTL = h.TOS>>2, h.TTL
	case *layers.IPv6:
		p.Tuple.Src, p.Tuple.Dst = addr(h.SrcIP.String()), addr(h.DstIP.String())
		p.DSCP, p.TTL = h.TrafficClass>>2, h.HopLimit
	}
	switch h := transport.(type) {
	case *layers.TCP:
		p.Tuple.Protocol = packet.TCP
		p.Tuple.SrcPort, p.Tuple.DstPort = uint16(h.SrcPort), uint16(h.DstPort)
		p.Flags = h.Contents[13]
	case *layers.UDP:
		p.Tuple.Protocol = packet.UDP
		p.Tuple.SrcPort, p.Tuple.DstPort = uint16(h.SrcPort), uint16(h.DstPort)
	case *layers.SCTP:
		p.Tuple.Protocol = packet.SCTP
		p.Tuple.SrcPort, p.Tuple.DstPort = uint16(h.SrcPort), uint16(h.DstPort)
	}
	return p
}
