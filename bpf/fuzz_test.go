package bpf

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

// The program claims nothing that package packet would call malformed, and
// everything it finds a flow, a fragment or an error in, were all claimed.
func FuzzSteerAgreesWithParse(f *testing.F) {
	s := steering(f, []Rule{{Claimed: true}}, nil)
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < packet.EthernetLen || len(frame) > 3000 {
			return // not what BPF_PROG_RUN takes
		}
		frame[0] &^= 1 // group addresses are another matter
		var p packet.Parsed
		malformed := packet.Parse(frame, &p)
		got := reasonOf(t, s, frame)
		want := expected(malformed, &p)
		if segmentsMayBeLeft(frame, &p) {
			want = append(want, NoPorts)
		}
		if !slices.Contains(want, got) {
			t.Errorf("%s, want one of %v; packet: %s, kind %d, tuple %+v", got, want, malformed, p.Kind, p.Tuple)
		}
	})
}

// expected are the reasons that go with what package packet says.
func expected(m packet.Malformed, p *packet.Parsed) []Reason {
	bad := []Reason{Truncated, BadHeader, TooManyHeaders}
	switch {
	case m == packet.BadDataOffset, m == packet.BadUDPLength:
		return append(bad, ClaimedFlow) // not looked at: they do not matter to where the frame goes
	case m == packet.TruncatedICMP:
		// Too short for an error: no error. Too short for ports, and about another's
		// address: that is looked at first.
		return append(bad, NoPorts, Unclaimed)
	case m != packet.OK:
		return bad
	}
	switch p.Kind {
	case packet.KindFlow, packet.KindFirst:
		return []Reason{ClaimedFlow}
	case packet.KindFragment:
		return []Reason{ClaimedFragment}
	case packet.KindError:
		return []Reason{ClaimedError, Unclaimed} // unclaimed: to another address than its flow's
	}
	return []Reason{NotIP, NoPorts, Unclaimed}
}

// segmentsMayBeLeft looks for what may be a routing header with segments left, anywhere.
func segmentsMayBeLeft(frame []byte, p *packet.Parsed) bool {
	for at := int(p.L3); p.L3 > 0 && at+packet.IPv6Len <= len(frame); at++ {
		if frame[at]>>4 == 6 && routesOn(frame[at:]) {
			return true
		}
	}
	return false
}

// routesOn reports whether an IPv6 packet has a routing header with segments left.
func routesOn(b []byte) bool {
	next, at := b[6], packet.IPv6Len
	for range packet.MaxExtensions {
		if at+8 > len(b) {
			return false
		}
		length := (int(b[at+1]) + 1) * 8
		switch next {
		case 43:
			if b[at+3] != 0 {
				return true
			}
		case 44:
			length = 8
		case 51:
			length = (int(b[at+1]) + 2) * 4
		case 0, 60:
		default:
			return false
		}
		next, at = b[at], at+length
	}
	return false
}

// The express lane forwards what it must, and nothing else: the packets of known
// connections that package packet finds nothing wrong with and that change no state.
// It changes their MAC addresses and their TTL alone, and of other frames nothing.
func FuzzExpress(f *testing.F) {
	s, _ := openKnown(f, nil)
	connections := map[packet.Tuple]bool{}
	for _, p := range known { // each is forwarded: openKnown saw it
		connections[tupleOf(f, p)] = true
		f.Add(p.Frame(f))
		f.Add(p.Payload(100).VLAN(7).Frame(f))
	}
	udp4 := known[2]
	for _, p := range []packettest.Packet{
		known4.SYN(), known4.FIN(), known6.RST(), known4.Options(8).TCPOptions(12), known4.DataOffset(15), known6.DataOffset(4),
		udp4.UDPLength(7), udp4.UDPLength(9), known4.Payload(64).Fragment(0, 40, true), udp4.Payload(64).Fragment(0, 40, true),
		known6.Through(packettest.HopByHop(8)), known6.Through(packettest.FragmentHeader(1, 0, true)),
		known6.Through(packettest.FragmentHeader(1, 0, false)), known4.To(packettest.MAC{1}),
	} {
		f.Add(p.Frame(f))
	}
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < packet.EthernetLen || len(frame) > 3000 {
			return // not what BPF_PROG_RUN takes
		}
		var p packet.Parsed
		ours := packet.Parse(frame, &p) == packet.OK && connections[p.Tuple] && asksNothing(&p) &&
			packettest.MAC(frame) == packettest.DirectorMAC && isUntagged(frame) && hopsLeft(frame) > 1
		before := carried(t, s, laneServer)
		action, out, err := s.Run(frame)
		if err != nil {
			t.Fatal(err)
		}
		want, after := slices.Clone(frame), carried(t, s, laneServer)
		switch {
		case action == Transmit && ours:
			copy(want, laneMACs[:])
			hopOn(want[packet.EthernetLen:])
			before.Packets++
			before.Bytes += uint64(p.Len)
		case action == Transmit:
			t.Errorf("forwarded: kind %d, tuple %+v, flags %#x", p.Kind, p.Tuple, p.Flags)
		case ours && !segmentsMayBeLeft(frame, &p):
			t.Errorf("action %d for a packet of a connection: tuple %+v, flags %#x", action, p.Tuple, p.Flags)
		case action != Pass && action != Drop && action != Redirect:
			t.Errorf("action %d", action)
		}
		if !bytes.Equal(out, want) {
			t.Errorf("action %d: % x\nbecame % x", action, frame, out)
		}
		if after != before {
			t.Errorf("action %d: carried %+v, want %+v", action, after, before)
		}
	})
}

func isUntagged(frame []byte) bool {
	return frame[12] == 0x08 && frame[13] == 0x00 || frame[12] == 0x86 && frame[13] == 0xdd
}

// hopsLeft is the TTL or hop limit of an untagged frame with a sound IP header.
func hopsLeft(frame []byte) uint8 {
	if ip := frame[packet.EthernetLen:]; ip[0]>>4 == 4 {
		return ip[8]
	} else {
		return ip[7]
	}
}

// hopOn does to a packet what a router does: one hop less to go, and an IPv4 checksum that
// is as right as it was (ip_decrease_ttl).
func hopOn(ip []byte) {
	if ip[0]>>4 == 6 {
		ip[7]--
		return
	}
	ip[8]--
	sum := uint32(binary.LittleEndian.Uint16(ip[10:])) + 1
	if sum >= 0xffff {
		sum++
	}
	binary.LittleEndian.PutUint16(ip[10:], uint16(sum))
}

// asksNothing tells whether a packet of a connection leaves it in its state.
func asksNothing(p *packet.Parsed) bool {
	if p.Kind != packet.KindFlow {
		return false
	}
	return p.Tuple.Protocol == packet.UDP ||
		p.Tuple.Protocol == packet.TCP && p.Flags&(packet.SYN|packet.FIN|packet.RST|packet.ACK) == packet.ACK
}

// seeds are frames of every form.
func seeds(tb testing.TB) (frames [][]byte) {
	tcp4 := packettest.IPv4(client, vip).TCP(40000, 80).Payload(40)
	tcp6 := packettest.IPv6(client6, vip6).TCP(40000, 80).Payload(40)
	for _, p := range []packettest.Packet{
		tcp4, tcp6, tcp4.VLAN(5).VLAN(6), tcp4.Options(40),
		packettest.IPv4(client, vip).UDP(1, 53), packettest.IPv6(client6, vip6).SCTP(1, 2),
		tcp6.Through(packettest.HopByHop(8), packettest.Routing(1), packettest.DestinationOptions(8), packettest.Authentication(16)),
		tcp4.Fragment(0, 32, true), tcp4.Fragment(32, 999, false), tcp6.Fragment(32, 999, false),
		packettest.IPv4(router, vip).Unreachable(tcp4), packettest.IPv6(router6, vip6).TooBig(1280, tcp6),
		packettest.IPv4(router, vip).Unreachable(reply()),
		packettest.IPv6(router6, vip6).Unreachable(reply6().Through(packettest.DestinationOptions(8))),
		packettest.IPv4(client, vip).Ping(), packettest.Ethernet(0x0806, make([]byte, 28)),
	} {
		frames = append(frames, p.Frame(tb))
	}
	return frames
}
