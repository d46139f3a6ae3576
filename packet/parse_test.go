package packet_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

const (
	client4, vip4, router4 = "192.0.2.1", "203.0.113.10", "198.51.100.9"
	client6, vip6, router6 = "2001:db8::1", "2001:db8:1::10", "2001:db8:2::9"
)

func tcp4() Packet { return IPv4(client4, vip4).TCP(1024, 80) }
func tcp6() Packet { return IPv6(client6, vip6).TCP(1024, 80) }
func udp4() Packet { return IPv4(client4, vip4).UDP(1024, 53) }
func udp6() Packet { return IPv6(client6, vip6).UDP(1024, 53) }

// reply4 and reply6 are what a real server sends, and what ICMP errors are about.
func reply4() Packet { return IPv4(vip4, client4).TCP(80, 1024) }
func reply6() Packet { return IPv6(vip6, client6).TCP(80, 1024) }

func addr(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

func tuple(src, dst string, protocol packet.Protocol, srcPort, dstPort uint16) packet.Tuple {
	return packet.Tuple{Src: addr(src), Dst: addr(dst), SrcPort: srcPort, DstPort: dstPort, Protocol: protocol}
}

var (
	flowTCP4 = tuple(client4, vip4, packet.TCP, 1024, 80)
	flowTCP6 = tuple(client6, vip6, packet.TCP, 1024, 80)
	flowUDP4 = tuple(client4, vip4, packet.UDP, 1024, 53)
	flowUDP6 = tuple(client6, vip6, packet.UDP, 1024, 53)
)

// wellFormed are frames and what Parse must find in them.
var wellFormed = []struct {
	name   string
	packet Packet
	want   packet.Parsed
}{
	{"IPv4 TCP", tcp4().SYN(), packet.Parsed{
		Tuple: flowTCP4, Kind: packet.KindFlow, L3: 14, L4: 34, Len: 40, TTL: 64, Flags: packet.SYN}},
	{"IPv4 TCP, padded to 60 bytes", tcp4().ACK().TTL(3).DSCP(46).Padded(60), packet.Parsed{
		Tuple: flowTCP4, Kind: packet.KindFlow, L3: 14, L4: 34, Len: 40, TTL: 3, DSCP: 46, Flags: packet.ACK}},
	{"IPv4 TCP, all flags and options", tcp4().Flags(0xff).TCPOptions(40).DontFragment().ID(7), packet.Parsed{
		Tuple: flowTCP4, Kind: packet.KindFlow, L3: 14, L4: 34, Len: 80, TTL: 64, Flags: 0xff}},
	{"IPv4 UDP, the least", udp4(), packet.Parsed{
		Tuple: flowUDP4, Kind: packet.KindFlow, L3: 14, L4: 34, Len: 28, TTL: 64}},
	{"IPv4 UDP, shorter than its packet", udp4().Payload(20).UDPLength(8), packet.Parsed{
		Tuple: flowUDP4, Kind: packet.KindFlow, L3: 14, L4: 34, Len: 48, TTL: 64}},
	{"IPv4 SCTP INIT", IPv4(client4, vip4).SCTP(9, 10).Chunk(1), packet.Parsed{
		Tuple: tuple(client4, vip4, packet.SCTP, 9, 10), Kind: packet.KindFlow, L3: 14, L4: 34, Len: 36, TTL: 64, Flags: 1}},
	{"IPv4 options", tcp4().Options(40), packet.Parsed{
		Tuple: flowTCP4, Kind: packet.KindFlow, L3: 14, L4: 74, Len: 80, TTL: 64}},
	{"one tag", tcp4().VLAN(5), packet.Parsed{
		Tuple: flowTCP4, Kind: packet.KindFlow, L3: 18, L4: 38, Len: 40, TTL: 64, VLAN: 5, Tags: 1}},
	{"a tag with priority", tcp4().VLAN(0xe000 | 4094), packet.Parsed{
		Tuple: flowTCP4, Kind: packet.KindFlow, L3: 18, L4: 38, Len: 40, TTL: 64, VLAN: 4094, Tags: 1}},
	{"a tag for priority only", udp6().VLAN(0xe000), packet.Parsed{
		Tuple: flowUDP6, Kind: packet.KindFlow, L3: 18, L4: 58, Len: 48, TTL: 64, Tags: 1}},
	{"two tags", udp6().Tag(packet.EtherTypeQinQ, 7).VLAN(5), packet.Parsed{
		Tuple: flowUDP6, Kind: packet.KindFlow, L3: 22, L4: 62, Len: 48, TTL: 64, VLAN: 7, Tags: 2}},
	{"an outer tag of type 0x9100", udp4().Tag(packet.EtherType9100, 7), packet.Parsed{
		Tuple: flowUDP4, Kind: packet.KindFlow, L3: 18, L4: 38, Len: 28, TTL: 64, VLAN: 7, Tags: 1}},
	{"three tags", tcp4().VLAN(1).VLAN(2).VLAN(3), packet.Parsed{VLAN: 1, Tags: 2}},

	{"IPv6 TCP", tcp6().SYN().ACK().DSCP(63).TTL(255), packet.Parsed{
		Tuple: flowTCP6, Kind: packet.KindFlow, L3: 14, L4: 54, Len: 60, TTL: 255, DSCP: 63, Flags: packet.SYN | packet.ACK}},
	{"IPv6 UDP, padded", udp6().Padded(100), packet.Parsed{
		Tuple: flowUDP6, Kind: packet.KindFlow, L3: 14, L4: 54, Len: 48, TTL: 64}},
	{"IPv6 UDP, the most", udp6().Payload(packet.MaxFrame - 62), packet.Parsed{
		Tuple: flowUDP6, Kind: packet.KindFlow, L3: 14, L4: 54, Len: packet.MaxFrame - 14, TTL: 64}},
	{"IPv4 UDP, the most, with more behind", udp4().Payload(packet.MaxFrame - 42).Padded(1 << 17), packet.Parsed{
		Tuple: flowUDP4, Kind: packet.KindFlow, L3: 14, L4: 34, Len: packet.MaxFrame - 14, TTL: 64}},
	{"IPv6 SCTP", IPv6(client6, vip6).SCTP(9, 10).Chunk(13), packet.Parsed{
		Tuple: tuple(client6, vip6, packet.SCTP, 9, 10), Kind: packet.KindFlow, L3: 14, L4: 54, Len: 56, TTL: 64, Flags: 13}},
	{"every extension header", tcp6().Through(HopByHop(8), DestinationOptions(16), Routing(1), Authentication(24)), packet.Parsed{
		Tuple: flowTCP6, Kind: packet.KindFlow, L3: 14, L4: 126, Len: 132, TTL: 64}},
	{"eight extension headers", udp6().Through(eight()...), packet.Parsed{
		Tuple: flowUDP6, Kind: packet.KindFlow, L3: 14, L4: 118, Len: 112, TTL: 64}},
	{"atomic fragment", udp6().Through(FragmentHeader(9, 0, false)), packet.Parsed{
		Tuple: flowUDP6, Kind: packet.KindFlow, L3: 14, L4: 62, Len: 56, TTL: 64}},

	{"IPv4 first fragment", udp4().ID(9).Payload(100).Fragment(0, 64, true), packet.Parsed{
		Tuple: flowUDP4, Kind: packet.KindFirst, L3: 14, L4: 34, Len: 84, TTL: 64, FragmentID: 9}},
	{"IPv4 first fragment that ends in TCP options", tcp4().SYN().TCPOptions(40).Fragment(0, 24, true), packet.Parsed{
		Tuple: flowTCP4, Kind: packet.KindFirst, L3: 14, L4: 34, Len: 44, TTL: 64, Flags: packet.SYN}},
	{"IPv4 middle fragment", udp4().ID(9).Payload(100).Fragment(8, 64, true), packet.Parsed{
		Tuple: tuple(client4, vip4, packet.UDP, 0, 0), Kind: packet.KindFragment, L3: 14, L4: 34, Len: 76, TTL: 64, FragmentID: 9}},
	{"IPv4 last fragment", tcp4().ID(9).Payload(100).Fragment(64, 200, false), packet.Parsed{
		Tuple: tuple(client4, vip4, packet.TCP, 0, 0), Kind: packet.KindFragment, L3: 14, L4: 34, Len: 76, TTL: 64, FragmentID: 9}},
	{"IPv4 last fragment of a packet of 65535 bytes", udp4().ID(9).Payload(100).Fragment(64, 67, false).FragmentOffset(65512), packet.Parsed{
		Tuple: tuple(client4, vip4, packet.UDP, 0, 0), Kind: packet.KindFragment, L3: 14, L4: 34, Len: 23, TTL: 64, FragmentID: 9}},
	{"IPv6 first fragment", tcp6().ID(1<<20).ACK().Payload(100).Fragment(0, 64, true), packet.Parsed{
		Tuple: flowTCP6, Kind: packet.KindFirst, L3: 14, L4: 62, Len: 112, TTL: 64, Flags: packet.ACK, FragmentID: 1 << 20}},
	{"IPv6 last fragment behind options", udp6().ID(1<<20).Through(HopByHop(8)).Payload(100).Fragment(64, 200, false), packet.Parsed{
		Tuple: tuple(client6, vip6, packet.UDP, 0, 0), Kind: packet.KindFragment, L3: 14, L4: 70, Len: 100, TTL: 64, FragmentID: 1 << 20}},
	{"IPv6 last fragment of a payload of 65535 bytes", later6(7), packet.Parsed{
		Tuple: tuple(client6, vip6, packet.SCTP, 0, 0), Kind: packet.KindFragment, L3: 14, L4: 62, Len: 55, TTL: 64, FragmentID: 3}},
	{"IPv6 later fragment that does not tell its protocol",
		udp6().Through(FragmentHeader(3, 64, true), DestinationOptions(8)), packet.Parsed{
			Tuple: tuple(client6, vip6, 0, 0, 0), Kind: packet.KindFragment, L3: 14, L4: 62, Len: 64, TTL: 64, FragmentID: 3}},

	{"ICMP unreachable about TCP", IPv4(router4, vip4).Unreachable(reply4()), packet.Parsed{
		Tuple: flowTCP4, Kind: packet.KindError, L3: 14, L4: 34, Len: 68, TTL: 64}},
	{"ICMP fragmentation needed, 8 bytes quoted, with options", IPv4(router4, vip4).Options(4).
		TooBig(1400, reply4().Options(8).Payload(1400).TruncatedTransport(8)), packet.Parsed{
		Tuple: flowTCP4, Kind: packet.KindError, L3: 14, L4: 38, Len: 68, TTL: 64}},
	{"ICMP source quench about UDP", IPv4(router4, vip4).Error(4, 0, IPv4(vip4, client4).UDP(53, 1024)), packet.Parsed{
		Tuple: flowUDP4, Kind: packet.KindError, L3: 14, L4: 34, Len: 56, TTL: 64}},
	{"ICMP time exceeded about SCTP", IPv4(router4, vip4).Error(11, 0, IPv4(vip4, client4).SCTP(1, 2)), packet.Parsed{
		Tuple: tuple(client4, vip4, packet.SCTP, 2, 1), Kind: packet.KindError, L3: 14, L4: 34, Len: 64, TTL: 64}},
	{"ICMP parameter problem about a first fragment", IPv4(router4, vip4).
		Error(12, 0, reply4().Payload(100).Fragment(0, 48, true)), packet.Parsed{
		Tuple: flowTCP4, Kind: packet.KindError, L3: 14, L4: 34, Len: 96, TTL: 64}},
	{"ICMP error about a later fragment", IPv4(router4, vip4).
		Unreachable(reply4().Payload(100).Fragment(48, 96, true)), packet.Parsed{L3: 14, Len: 96, TTL: 64}},
	{"ICMP error about ping", IPv4(router4, vip4).Unreachable(IPv4(vip4, client4).Ping()),
		packet.Parsed{L3: 14, Len: 56, TTL: 64}},
	{"ICMPv6 unreachable", IPv6(router6, vip6).Unreachable(reply6()), packet.Parsed{
		Tuple: flowTCP6, Kind: packet.KindError, L3: 14, L4: 54, Len: 108, TTL: 64}},
	{"ICMPv6 too big, behind and about extension headers", IPv6(router6, vip6).Through(HopByHop(8)).
		TooBig(1280, reply6().Through(HopByHop(8), DestinationOptions(8)).Payload(2000)), packet.Parsed{
		Tuple: flowTCP6, Kind: packet.KindError, L3: 14, L4: 62, Len: 1288, TTL: 64}},
	{"ICMPv6 time exceeded about a first fragment", IPv6(router6, vip6).
		Error(3, 0, reply6().Payload(100).Fragment(0, 64, true)), packet.Parsed{
		Tuple: flowTCP6, Kind: packet.KindError, L3: 14, L4: 54, Len: 160, TTL: 64}},
	{"ICMPv6 parameter problem about a later fragment", IPv6(router6, vip6).
		Error(4, 0, reply6().Payload(100).Fragment(64, 96, true)), packet.Parsed{L3: 14, Len: 128, TTL: 64}},
	{"ICMPv6 parameter problem, 8 bytes quoted", IPv6(router6, vip6).
		Error(4, 1, reply6().TruncatedTransport(8)), packet.Parsed{
		Tuple: flowTCP6, Kind: packet.KindError, L3: 14, L4: 54, Len: 96, TTL: 64}},
	{"ICMP error that quotes a header and no more, of ping", IPv4(router4, vip4).
		Unreachable(IPv4(vip4, client4).Ping().TruncatedTransport(0)), packet.Parsed{L3: 14, Len: 48, TTL: 64}},
	{"ICMPv6 error that quotes a header and no more, of ping", IPv6(router6, vip6).
		Unreachable(IPv6(vip6, client6).Ping().TruncatedTransport(0)), packet.Parsed{L3: 14, Len: 88, TTL: 64}},
	{"fragment of an ICMP error", IPv4(router4, vip4).Unreachable(reply4()).Fragment(0, 48, true),
		packet.Parsed{L3: 14, Len: 68, TTL: 64}},

	{"ping", IPv4(client4, vip4).Ping(), packet.Parsed{L3: 14, Len: 28, TTL: 64}},
	{"ping, IPv6", IPv6(client6, vip6).Ping(), packet.Parsed{L3: 14, Len: 48, TTL: 64}},
	{"neighbour solicitation", IPv6(client6, vip6).Error(135, 0, udp6()),
		packet.Parsed{L3: 14, Len: 96, TTL: 64}},
	{"ICMPv6 in IPv4", IPv4(client4, vip4).Protocol(packet.ICMPv6).Payload(80), packet.Parsed{L3: 14, Len: 108, TTL: 64}},
	{"ICMP in IPv6", IPv6(client6, vip6).Protocol(packet.ICMP).Payload(80), packet.Parsed{L3: 14, Len: 128, TTL: 64}},
	{"GRE", IPv4(client4, vip4).Protocol(47).Payload(8), packet.Parsed{L3: 14, Len: 28, TTL: 64}},
	{"later fragment of ping", IPv4(client4, vip4).Ping().Payload(100).Fragment(64, 200, false),
		packet.Parsed{L3: 14, Len: 64, TTL: 64}},
	{"later fragment of ping, IPv6", IPv6(client6, vip6).Ping().Payload(100).Fragment(64, 72, true),
		packet.Parsed{L3: 14, Len: 56, TTL: 64}},
	{"later fragment of an IPv6 extension header in IPv4", IPv4(client4, vip4).Protocol(60).Payload(100).Fragment(64, 72, true),
		packet.Parsed{L3: 14, Len: 28, TTL: 64}},
	{"no next header", IPv6(client6, vip6).Protocol(59), packet.Parsed{L3: 14, Len: 40, TTL: 64}},
	{"ARP", Ethernet(0x0806, make([]byte, 46)), packet.Parsed{}},
	{"ARP in a VLAN", Ethernet(0x0806, make([]byte, 46)).VLAN(5), packet.Parsed{VLAN: 5, Tags: 1}},
	{"an IEEE 802.3 length for a type", Ethernet(46, make([]byte, 46)), packet.Parsed{}},
}

// later6 is the IPv6 fragment with the highest offset there is, of n bytes.
func later6(n uint16) Packet {
	return IPv6(client6, vip6).SCTP(1, 2).Through(FragmentHeader(3, 65528, false)).Length(8 + n)
}

func eight() []Extension {
	e := []Extension{HopByHop(8)}
	for len(e) < packet.MaxExtensions {
		e = append(e, DestinationOptions(8))
	}
	return e
}

func TestParse(t *testing.T) {
	for _, test := range wellFormed {
		t.Run(test.name, func(t *testing.T) {
			frame := test.packet.Frame(t)
			got := stale()
			if m := packet.Parse(frame, &got); m != packet.OK {
				t.Fatalf("%v", m)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
			if n := testing.AllocsPerRun(10, func() { packet.Parse(frame, &got) }); n != 0 {
				t.Errorf("%v allocations, want 0", n)
			}
		})
	}
}

// stale is a Parsed of which every field is set, so that what is not overwritten shows.
func stale() packet.Parsed {
	return packet.Parsed{
		Tuple: tuple("255.255.255.255", "ffff::ffff", 255, 65535, 65535),
		Kind:  packet.KindError, L3: 9999, L4: 9999, Len: 9999, VLAN: 9999, Tags: 99,
		DSCP: 99, TTL: 99, Flags: 99, FragmentID: 9999,
	}
}

// malformed are frames that lie, and what Parse must say.
var malformed = []struct {
	name   string
	packet Packet
	want   packet.Malformed
}{
	{"no frame", tcp4().Truncated(0), packet.TruncatedEthernet},
	{"ends in MAC addresses", tcp4().Truncated(13), packet.TruncatedEthernet},
	{"ends in a tag", tcp4().VLAN(5).Truncated(17), packet.TruncatedEthernet},
	{"ends in the second tag", tcp4().VLAN(5).VLAN(6).Truncated(20), packet.TruncatedEthernet},
	{"nothing behind Ethernet", tcp4().Truncated(14), packet.TruncatedIP},
	{"nothing behind a tag", tcp4().VLAN(5).Truncated(18), packet.TruncatedIP},
	{"nothing behind IPv4 header", tcp4().Length(20).Truncated(34), packet.TruncatedTransport},
	{"nothing behind IPv6 header", tcp6().Length(0).Truncated(54), packet.TruncatedTransport},
	{"ends in IPv4 header", tcp4().Truncated(33), packet.TruncatedIP},
	{"ends in IPv6 header", tcp6().Truncated(53), packet.TruncatedIP},
	{"ends in IPv4 options", tcp4().Options(8).Truncated(40), packet.TruncatedPacket},
	{"version 6 in IPv4", tcp4().Version(6), packet.BadVersion},
	{"version 4 in IPv6", tcp6().Version(4), packet.BadVersion},
	{"IHL 4", tcp4().HeaderLength(4), packet.BadHeaderLength},
	{"IHL 0", tcp4().HeaderLength(0), packet.BadHeaderLength},
	{"IHL 15, header longer than the packet", tcp4().HeaderLength(15), packet.BadHeaderLength},
	{"total length 19", tcp4().Length(19), packet.BadHeaderLength},
	{"total length 0", tcp4().Length(0), packet.BadHeaderLength},
	{"total length one more than the frame", tcp4().Length(41), packet.TruncatedPacket},
	{"total length 65535", tcp4().Length(65535), packet.TruncatedPacket},
	{"payload length one more than the frame", tcp6().Length(21), packet.TruncatedPacket},
	{"payload length 65535", udp6().Length(65535), packet.Jumbogram},
	{"payload length 65496", udp6().Length(65496), packet.Jumbogram},
	{"jumbogram", udp6().Through(HopByHop(8)).Length(0), packet.Jumbogram},
	{"payload length 0", udp6().Length(0), packet.TruncatedTransport},
	{"ends beyond the longest frame", udp4().Payload(packet.MaxFrame - 41), packet.TruncatedPacket},
	{"ends beyond the longest frame, IPv6", udp6().Payload(packet.MaxFrame - 61), packet.TruncatedPacket},
	{"IPv6 packet of 65536 bytes", udp6().Payload(65536 - 48), packet.Jumbogram},
	{"IPv6 packet of 65535 bytes in a VLAN", udp6().Payload(65535 - 48).VLAN(5), packet.TruncatedPacket},
	{"IPv4-mapped source", IPv6("::ffff:192.0.2.1", vip6).UDP(1, 2), packet.BadAddress},
	{"IPv4-mapped destination", IPv6(client6, "::ffff:203.0.113.10").TCP(1, 2), packet.BadAddress},

	{"ends in extension header", tcp6().Through(HopByHop(16)).Length(8), packet.TruncatedExtension},
	{"ends in the first bytes of one", tcp6().Through(HopByHop(8)).Length(7), packet.TruncatedExtension},
	{"extension header beyond the packet", tcp6().Through(DestinationOptions(8)).ExtensionLength(255), packet.TruncatedExtension},
	{"authentication header beyond the packet", tcp6().Through(Authentication(16)).ExtensionLength(255), packet.TruncatedExtension},
	{"nine extension headers", udp6().Through(eight()...).Through(DestinationOptions(8)), packet.TooManyExtensions},
	{"IPv4 fragment beyond 65535", udp4().Payload(100).Fragment(0, 48, true).FragmentOffset(65528), packet.BadFragment},
	{"IPv4 fragment just beyond 65535", udp4().Payload(100).Fragment(64, 68, false).FragmentOffset(65512), packet.BadFragment},
	{"IPv6 fragment beyond 65535", udp6().Through(FragmentHeader(1, 65528, false)).Payload(100), packet.BadFragment},
	{"IPv6 fragment just beyond 65535", later6(8), packet.BadFragment},
	{"fragment of a fragment", udp6().Through(FragmentHeader(1, 0, true), FragmentHeader(1, 0, true)), packet.BadFragment},
	{"fragment over TCP flags", tcp4().Payload(100).Fragment(8, 64, true), packet.BadFragment},
	{"IPv6 fragment over TCP flags", tcp6().Payload(100).Fragment(16, 64, true), packet.BadFragment},

	{"ends in TCP header", tcp4().Length(39), packet.TruncatedTransport},
	{"ends in TCP header, IPv6", tcp6().Length(19), packet.TruncatedTransport},
	{"first fragment ends in TCP header", tcp4().Fragment(0, 16, true), packet.TruncatedTransport},
	{"ends in UDP header", udp4().Length(27), packet.TruncatedTransport},
	{"ends in UDP header, IPv6", udp6().Length(7), packet.TruncatedTransport},
	{"SCTP without a chunk", IPv4(client4, vip4).SCTP(1, 2).Length(35), packet.TruncatedTransport},
	{"data offset 4", tcp4().DataOffset(4), packet.BadDataOffset},
	{"data offset 6, beyond the packet", tcp4().DataOffset(6), packet.BadDataOffset},
	{"data offset 15, into padding", tcp4().DataOffset(15).Padded(100), packet.BadDataOffset},
	{"data offset 0, IPv6", tcp6().DataOffset(0), packet.BadDataOffset},
	{"data offset 6, IPv6", tcp6().DataOffset(6), packet.BadDataOffset},
	{"data offset 4, first fragment", tcp4().Payload(100).Fragment(0, 64, true).DataOffset(4), packet.BadDataOffset},
	{"UDP length 7", udp4().UDPLength(7), packet.BadUDPLength},
	{"UDP length 0, IPv6", udp6().UDPLength(0), packet.BadUDPLength},
	{"UDP length one more than the packet", udp4().Payload(20).UDPLength(29), packet.BadUDPLength},
	{"UDP length into padding", udp4().UDPLength(9).Padded(60), packet.BadUDPLength},
	{"UDP length one more than the packet, IPv6", udp6().UDPLength(9), packet.BadUDPLength},
	{"UDP length 7, first fragment", udp4().Payload(100).Fragment(0, 64, true).UDPLength(7), packet.BadUDPLength},

	{"ends in ICMP header", IPv4(client4, vip4).Ping().Length(27), packet.TruncatedICMP},
	{"ends in embedded IPv4 header", IPv4(router4, vip4).Unreachable(reply4().Truncated(14 + 19)), packet.TruncatedICMP},
	{"ends in embedded ports", IPv4(router4, vip4).Unreachable(reply4().TruncatedTransport(7)), packet.TruncatedICMP},
	{"ends in embedded options", IPv4(router4, vip4).Unreachable(reply4().Options(40).TruncatedTransport(-4)), packet.TruncatedICMP},
	{"ends in embedded IPv6 header", IPv6(router6, vip6).Unreachable(reply6().Truncated(14 + 39)), packet.TruncatedICMP},
	{"ends in embedded ports, IPv6", IPv6(router6, vip6).Unreachable(reply6().TruncatedTransport(7)), packet.TruncatedICMP},
	{"ends in embedded extension header", IPv6(router6, vip6).
		Unreachable(reply6().Through(HopByHop(16)).Truncated(14 + 48)), packet.TruncatedICMP},
	{"embedded IHL 4", IPv4(router4, vip4).Unreachable(reply4().HeaderLength(4)), packet.BadEmbedded},
	{"embedded fragment beyond byte 65535", IPv4(router4, vip4).Unreachable(reply4().FragmentOffset(65528)), packet.BadEmbedded},
	{"ends in embedded options of a fragment", IPv4(router4, vip4).Unreachable(reply4().Options(40).FragmentOffset(8).TruncatedTransport(-4)), packet.TruncatedICMP},
	{"embedded version 6 in ICMP", IPv4(router4, vip4).Unreachable(reply4().Version(6)), packet.BadEmbedded},
	{"embedded version 4 in ICMPv6", IPv6(router6, vip6).Unreachable(reply6().Version(4)), packet.BadEmbedded},
	{"embedded IPv4-mapped address", IPv6(router6, vip6).Unreachable(IPv6(vip6, "::ffff:192.0.2.1").UDP(1, 2)), packet.BadEmbedded},
	{"embedded nine extension headers", IPv6(router6, vip6).
		Unreachable(reply6().Through(eight()...).Through(DestinationOptions(8))), packet.BadEmbedded},
}

func TestParseMalformed(t *testing.T) {
	seen := map[packet.Malformed]bool{packet.OK: true}
	for _, test := range malformed {
		t.Run(test.name, func(t *testing.T) {
			frame := test.packet.Frame(t)
			got := stale()
			if m := packet.Parse(frame, &got); m != test.want {
				t.Fatalf("%v, want %v", m, test.want)
			}
			if got.Kind != packet.KindOther || got.Tuple != (packet.Tuple{}) {
				t.Errorf("kind %v and tuple %v of a malformed frame", got.Kind, got.Tuple)
			}
			if n := testing.AllocsPerRun(10, func() { packet.Parse(frame, &got) }); n != 0 {
				t.Errorf("%v allocations, want 0", n)
			}
		})
		seen[test.want] = true
	}
	for m := range packet.Malformed(packet.Malformations) {
		if !seen[m] {
			t.Errorf("no frame here is %v", m)
		}
	}
}

// TestWhichChunkCounts wants the chunk that set_sctp_state goes by: the first, or an
// ABORT right behind a COOKIE ECHO or COOKIE ACK.
func TestWhichChunkCounts(t *testing.T) {
	const (
		abort = packet.ChunkAbort
		echo  = packet.ChunkCookieEcho
		ack   = packet.ChunkCookieAck
	)
	v4, v6 := IPv4(client4, vip4), IPv6(client6, vip6)
	aborts := v4.SCTP(9, 10).Chunk(abort)
	aborts6 := v6.SCTP(9, 10).Chunk(abort)
	for _, test := range []struct {
		name   string
		packet Packet
		want   uint8
	}{
		{"COOKIE ECHO and nothing else", v4.SCTP(9, 10).Chunk(echo).Payload(32), echo},
		{"ABORT behind COOKIE ECHO", aborts.Behind(echo, 32), abort},
		{"the same, IPv6", aborts6.Behind(echo, 32), abort},
		{"the same behind an extension header", aborts6.Through(HopByHop(8)).Behind(echo, 32), abort},
		{"ABORT behind a cookie that is padded", aborts.Behind(echo, 29), abort},
		{"ABORT behind an empty cookie", aborts.Behind(echo, 0), abort},
		{"ABORT behind COOKIE ACK", aborts.Behind(ack, 0), abort},
		{"ABORT with a cause", aborts.Payload(40).Behind(ack, 0), abort},
		{"ABORT behind DATA", aborts.Behind(packet.ChunkData, 20), packet.ChunkData},
		{"ABORT as the third chunk", aborts.Behind(echo, 4).Behind(packet.ChunkData, 20), echo},
		{"DATA behind COOKIE ECHO", v4.SCTP(9, 10).Behind(echo, 4), echo},
		{"SHUTDOWN behind COOKIE ACK", v4.SCTP(9, 10).Chunk(packet.ChunkShutdown).Behind(ack, 0), ack},
		{"a cookie shorter than a chunk's header", aborts.Behind(echo, 0).ChunkLength(3), echo},
		{"a cookie of no length", aborts.Behind(echo, 0).ChunkLength(0), echo},
		{"a cookie up to the packet's end", aborts.Behind(echo, 4).ChunkLength(12), echo},
		{"a cookie beyond the packet", aborts.Behind(echo, 4).ChunkLength(0xffff), echo},
		{"ABORT cut off", aborts.Behind(echo, 4).Length(20 + 12 + 8 + 3), echo},
		{"ABORT in the padding of the frame", aborts.Behind(echo, 4).Length(20 + 12 + 8), echo},
		{"ABORT in the first fragment", aborts.Payload(80).Behind(echo, 8).Fragment(0, 32, true), abort},
		{"ABORT in a later one", aborts.Payload(80).Behind(echo, 80).Fragment(0, 32, true), echo},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := stale()
			if m := packet.Parse(test.packet.Frame(t), &got); m != packet.OK {
				t.Fatal(m)
			}
			if got.Flags != test.want {
				t.Errorf("chunk %d, want %d", got.Flags, test.want)
			}
		})
	}
}

// TestMalformedNames has a name for every value: they are counters' names.
func TestMalformedNames(t *testing.T) {
	names := map[string]bool{}
	for m := range packet.Malformed(packet.Malformations) {
		name := m.String()
		if name == "" || name == "unknown" || names[name] {
			t.Errorf("value %d is called %q", m, name)
		}
		names[name] = true
	}
	if got := packet.Malformed(packet.Malformations).String(); got != "unknown" {
		t.Errorf("a value beyond the last is called %q", got)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name   string
		packet Packet
	}{
		{"IPv4/TCP", tcp4().ACK().Padded(64)},
		{"IPv4/UDP", udp4().Padded(64)},
		{"IPv4/UDP/vlan", udp4().VLAN(5).Padded(64)},
		{"IPv4/TCP/options", tcp4().Options(4).Padded(64)},
		{"IPv4/fragment", udp4().Payload(100).Fragment(64, 200, false)},
		{"IPv4/error", IPv4(router4, vip4).Unreachable(reply4())},
		{"IPv6/TCP", tcp6().ACK()},
		{"IPv6/UDP", udp6()},
		{"IPv6/UDP/extensions", udp6().Through(HopByHop(8), DestinationOptions(8))},
		{"malformed", udp4().UDPLength(7).Padded(64)},
	} {
		frame, err := c.packet.Bytes()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			var p packet.Parsed
			b.ReportAllocs()
			for b.Loop() {
				packet.Parse(frame, &p)
			}
		})
	}
}
