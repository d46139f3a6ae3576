package packet_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

// sentence draws a well-formed packet with all that may be in one, and what Parse
// must find in it.
func sentence(t *rapid.T) (Packet, packet.Parsed) {
	v6 := rapid.Bool().Draw(t, "IPv6")
	p, want := IPv4(client4, vip4), packet.Parsed{L3: packet.EthernetLen, L4: packet.EthernetLen + packet.IPv4Len}
	want.Tuple = packet.Tuple{Src: addr(client4), Dst: addr(vip4)}
	if v6 {
		p, want.L4 = IPv6(client6, vip6), packet.EthernetLen+packet.IPv6Len
		want.Tuple = packet.Tuple{Src: addr(client6), Dst: addr(vip6)}
		p, want = drawExtensions(t, p, want)
	} else if words := rapid.IntRange(0, 10).Draw(t, "option words"); words > 0 {
		p = p.Options(4 * words)
		want.L4 += uint16(4 * words)
	}
	want.DSCP, want.TTL = rapid.Uint8Range(0, 63).Draw(t, "dscp"), rapid.Uint8().Draw(t, "ttl")
	p = p.DSCP(want.DSCP).TTL(want.TTL)
	for i := range rapid.IntRange(0, 2).Draw(t, "tags") {
		id := rapid.Uint16Range(1, 4094).Draw(t, "vlan")
		priority := rapid.Uint16Range(0, 15).Draw(t, "priority")
		kind := rapid.SampledFrom([]packet.EtherType{packet.EtherTypeVLAN, packet.EtherTypeQinQ, packet.EtherType9100})
		p = p.Tag(kind.Draw(t, "tag"), priority<<12|id)
		if i == 0 {
			want.VLAN = id
		}
		want.Tags++
		want.L3 += packet.VLANTagLen
		want.L4 += packet.VLANTagLen
	}
	p, want, length := drawTransport(t, p, want)
	want.Len = want.L4 - want.L3 + uint16(length)
	if trailer := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "trailer"); len(trailer) > 0 {
		p = p.Trailed(func(int) []byte { return bytes.Clone(trailer) })
	}
	return p, want
}

func drawExtensions(t *rapid.T, p Packet, want packet.Parsed) (Packet, packet.Parsed) {
	for range rapid.IntRange(0, packet.MaxExtensions-1).Draw(t, "extensions") { // one is left for a fragment header
		units := rapid.IntRange(1, 3).Draw(t, "units")
		e, length := HopByHop(8*units), 8*units
		switch rapid.IntRange(0, 3).Draw(t, "extension") {
		case 1:
			e = DestinationOptions(8 * units)
		case 2:
			e, length = Routing(units), 8+16*units
		case 3:
			e, length = Authentication(8+8*units), 8+8*units
		}
		p = p.Through(e)
		want.L4 += uint16(length)
	}
	return p, want
}

// drawTransport draws what follows the IP header, perhaps a fragment of it. The
// length is that of all that follows.
func drawTransport(t *rapid.T, p Packet, want packet.Parsed) (Packet, packet.Parsed, int) {
	payload := rapid.IntRange(0, 200).Draw(t, "payload")
	src, dst := rapid.Uint16().Draw(t, "source port"), rapid.Uint16().Draw(t, "destination port")
	want.Tuple.SrcPort, want.Tuple.DstPort = src, dst
	want.Kind = packet.KindFlow
	var header int
	switch rapid.IntRange(0, 2).Draw(t, "protocol") {
	case 0:
		words := rapid.IntRange(0, 10).Draw(t, "TCP option words")
		want.Flags = rapid.Uint8().Draw(t, "flags")
		p, header = p.TCP(src, dst).Flags(want.Flags).TCPOptions(4*words), packet.TCPLen+4*words
		want.Tuple.Protocol = packet.TCP
	case 1:
		p, header = p.UDP(src, dst), packet.UDPLen
		want.Tuple.Protocol = packet.UDP
	case 2:
		want.Flags = rapid.Uint8().Draw(t, "chunk")
		payload &^= 3 // whole words: no padding
		p, header = p.SCTP(src, dst).Chunk(want.Flags), packet.SCTPLen
		want.Tuple.Protocol = packet.SCTP
	}
	p, length := p.Payload(payload), header+payload
	if !rapid.Bool().Draw(t, "fragment") {
		return p, want, length
	}
	from := 8 * rapid.IntRange(0, 8).Draw(t, "from")
	if from > 0 {
		from += 16 // beyond the TCP header
	}
	to := from + 8*rapid.IntRange(3, 8).Draw(t, "units")
	more := from == 0 || rapid.Bool().Draw(t, "more")
	id := rapid.Uint32Range(1, 0xffff).Draw(t, "id")
	if !want.Tuple.Src.Is4() {
		id *= 0x10001
		want.L4 += 8 // the fragment header
	}
	want.FragmentID, want.Kind = id, packet.KindFirst
	if from > 0 {
		want.Kind, want.Flags = packet.KindFragment, 0
		want.Tuple.SrcPort, want.Tuple.DstPort = 0, 0
	}
	return p.ID(id).Fragment(from, to, more), want, max(0, min(to, length)-min(from, length))
}

// TestParseReadsWhatWasWritten holds Parse against what a packet was made of, and
// against gopacket.
func TestParseReadsWhatWasWritten(t *testing.T) {
	agreed := 0
	rapid.Check(t, func(t *rapid.T) {
		p, want := sentence(t)
		frame, err := p.Bytes()
		if err != nil {
			t.Fatalf("build frame: %v", err)
		}
		got := stale()
		if m := packet.Parse(frame, &got); m != packet.OK {
			t.Fatalf("%v", m)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
		checkOffsets(t, frame, &got)
		checkTrailing(t, frame, &got)
		if checkGopacket(t, frame, &got) {
			agreed++
		}
	})
	if agreed == 0 {
		t.Error("gopacket was never asked")
	}
}
