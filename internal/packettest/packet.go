package packettest

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/xlvs/xlvs/packet"
)

// MAC is an Ethernet address.
type MAC = [packet.MACLen]byte

// The addresses of a frame that does not say otherwise: from a client's router
// to the director.
var (
	RouterMAC   = MAC{2, 0, 0, 0, 0, 1}
	DirectorMAC = MAC{2, 0, 0, 0, 0, 2}
)

// Packet is a frame in the making. The zero Packet is none: begin with IPv4,
// IPv6 or Ethernet.
type Packet struct {
	srcMAC, dstMAC MAC
	tags           []tag
	etherType      packet.EtherType

	src, dst     netip.Addr
	dscp, ttl    uint8
	id           uint32
	dontFragment bool
	options      int // bytes of IPv4 options
	extensions   []Extension

	protocol         packet.Protocol
	srcPort, dstPort uint16
	flags            uint8  // TCP
	sequence, ack    uint32 // TCP
	verification     uint32 // SCTP
	tcpOptions       int    // bytes
	kind, code       uint8  // ICMP's type and code; SCTP's last chunk type
	bundled          []byte // SCTP's chunks before the last
	icmpRest         uint32
	about            *Packet // what an ICMP error is about
	payload          []byte

	fragment *fragment
	lies     []lie
}

type tag struct {
	etherType packet.EtherType
	id        uint16
}

// fragment is the part of the transport header and payload that a fragment has.
type fragment struct {
	from, to int // bytes; to may be beyond the end
	more     bool
}

// IPv4 begins an IPv4 packet; it has no protocol yet (253, for experiments) and
// goes from RouterMAC to DirectorMAC.
func IPv4(src, dst string) Packet { return ip(packet.EtherTypeIPv4, src, dst) }

// IPv6 begins an IPv6 packet, as IPv4 does.
func IPv6(src, dst string) Packet { return ip(packet.EtherTypeIPv6, src, dst) }

// IP begins a packet of the family of dst.
func IP(src, dst netip.Addr) Packet {
	if dst.Is4() {
		return IPv4(src.String(), dst.String())
	}
	return IPv6(src.String(), dst.String())
}

const experimental = 253 // RFC 3692

func ip(etherType packet.EtherType, src, dst string) Packet {
	return Packet{
		srcMAC: RouterMAC, dstMAC: DirectorMAC, etherType: etherType,
		src: netip.MustParseAddr(src), dst: netip.MustParseAddr(dst), ttl: 64,
		protocol: experimental, sequence: 1, verification: 1,
	}
}

// Ethernet is a frame that is not IP: ARP, LLDP, anything.
func Ethernet(etherType packet.EtherType, payload []byte) Packet {
	return Packet{srcMAC: RouterMAC, dstMAC: DirectorMAC, etherType: etherType, payload: payload}
}

// From sets the source MAC address.
func (p Packet) From(mac MAC) Packet { p.srcMAC = mac; return p }

// To sets the destination MAC address.
func (p Packet) To(mac MAC) Packet { p.dstMAC = mac; return p }

// VLAN puts the frame into a VLAN (802.1Q); of several calls, the first is the
// outermost tag.
func (p Packet) VLAN(id uint16) Packet { return p.Tag(packet.EtherTypeVLAN, id) }

// Tag is VLAN with a tag of another type. The upper four bits of id are its priority.
func (p Packet) Tag(etherType packet.EtherType, id uint16) Packet {
	p.tags = append(slices.Clip(p.tags), tag{etherType, id})
	return p
}

// DSCP sets the differentiated services code point (0-63).
func (p Packet) DSCP(dscp uint8) Packet { p.dscp = dscp; return p }

// TTL sets the TTL or hop limit, otherwise 64.
func (p Packet) TTL(ttl uint8) Packet { p.ttl = ttl; return p }

// ID sets the identification that fragments share. IPv4 has 16 bits of it.
func (p Packet) ID(id uint32) Packet { p.id = id; return p }

// DontFragment sets IPv4's DF bit.
func (p Packet) DontFragment() Packet { p.dontFragment = true; return p }

// Options gives the IPv4 header n bytes of options, all no-operation; n is a
// multiple of 4 up to 40.
func (p Packet) Options(n int) Packet { p.options = n; return p }

// Through gives an IPv6 packet extension headers.
func (p Packet) Through(e ...Extension) Packet {
	p.extensions = append(slices.Clip(p.extensions), e...)
	return p
}

// TCP makes it a TCP segment with no flag set.
func (p Packet) TCP(src, dst uint16) Packet { return p.ports(packet.TCP, src, dst) }

// UDP makes it a UDP datagram.
func (p Packet) UDP(src, dst uint16) Packet { return p.ports(packet.UDP, src, dst) }

// SCTP makes it an SCTP packet with one chunk, of type DATA (0).
func (p Packet) SCTP(src, dst uint16) Packet { return p.ports(packet.SCTP, src, dst) }

func (p Packet) ports(protocol packet.Protocol, src, dst uint16) Packet {
	p.protocol, p.srcPort, p.dstPort = protocol, src, dst
	return p
}

// Protocol makes it a packet of any other protocol; its payload follows the IP header.
func (p Packet) Protocol(protocol packet.Protocol) Packet { p.protocol = protocol; return p }

// Flags adds TCP flags.
func (p Packet) Flags(flags uint8) Packet { p.flags |= flags; return p }

// SYN adds the flag, as do the following.
func (p Packet) SYN() Packet { return p.Flags(packet.SYN) }

// ACK adds the flag.
func (p Packet) ACK() Packet { return p.Flags(packet.ACK) }

// FIN adds the flag.
func (p Packet) FIN() Packet { return p.Flags(packet.FIN) }

// RST adds the flag.
func (p Packet) RST() Packet { return p.Flags(packet.RST) }

// Numbers sets the TCP sequence and acknowledgement numbers, otherwise 1 and 0.
func (p Packet) Numbers(sequence, acknowledgement uint32) Packet {
	p.sequence, p.ack = sequence, acknowledgement
	return p
}

// TCPOptions gives the TCP header n bytes of options, all no-operation; n is a
// multiple of 4 up to 40.
func (p Packet) TCPOptions(n int) Packet { p.tcpOptions = n; return p }

// Chunk sets the type of the SCTP packet's last chunk, which has the payload.
func (p Packet) Chunk(kind uint8) Packet { p.kind = kind; return p }

// Verified sets the SCTP verification tag, otherwise 1.
func (p Packet) Verified(tag uint32) Packet { p.verification = tag; return p }

// Behind puts an SCTP chunk with n bytes of value in front of the last one.
func (p Packet) Behind(kind uint8, n int) Packet {
	p.bundled = append(slices.Clip(p.bundled), chunk(kind, make([]byte, n))...)
	return p
}

// Ping makes it an ICMP or ICMPv6 echo request.
func (p Packet) Ping() Packet {
	if p.dst.Is4() {
		return p.icmp(8, 0)
	}
	return p.icmp(128, 0)
}

// Error makes it an ICMP or ICMPv6 error about another packet, which it quotes from
// the IP header on, up to 576 or 1280 bytes in all.
func (p Packet) Error(kind, code uint8, about Packet) Packet {
	p.about = &about
	return p.icmp(kind, code)
}

// Unreachable is Error with type destination unreachable, port.
func (p Packet) Unreachable(about Packet) Packet {
	if p.dst.Is4() {
		return p.Error(3, 3, about)
	}
	return p.Error(1, 4, about)
}

// TooBig is Error with ICMP fragmentation needed or ICMPv6 packet too big, and the MTU.
func (p Packet) TooBig(mtu uint32, about Packet) Packet {
	p.icmpRest = mtu
	if p.dst.Is4() {
		return p.Error(3, 4, about)
	}
	return p.Error(2, 0, about)
}

func (p Packet) icmp(kind, code uint8) Packet {
	p.protocol = packet.ICMPv6
	if p.dst.Is4() {
		p.protocol = packet.ICMP
	}
	p.kind, p.code = kind, code
	return p
}

// Payload gives it n bytes of payload that are easy to tell apart.
func (p Packet) Payload(n int) Packet {
	p.payload = make([]byte, n)
	for i := range p.payload {
		p.payload[i] = byte(i + i>>8)
	}
	return p
}

// Data gives it a payload.
func (p Packet) Data(b []byte) Packet { p.payload = b; return p }

// Append adds to its payload.
func (p Packet) Append(b []byte) Packet {
	p.payload = slices.Concat(p.payload, b)
	return p
}

// Fragment keeps only the bytes from and to of what follows the IP header and
// its extension headers, as a fragment. To may be beyond the end.
func (p Packet) Fragment(from, to int, more bool) Packet {
	p.fragment = &fragment{from, to, more}
	return p
}

// Frame is the frame, in a slice without spare capacity: reading past its end
// panics.
func (p Packet) Frame(tb testing.TB) []byte {
	tb.Helper()
	b, err := p.Bytes()
	if err != nil {
		tb.Fatalf("build frame: %v", err)
	}
	return b
}

// Fragments are the frames of the packet cut into fragments that carry up to
// size bytes (a multiple of 8), in order.
func (p Packet) Fragments(tb testing.TB, size int) [][]byte {
	tb.Helper()
	if size <= 0 || size%8 != 0 {
		tb.Fatalf("fragments of %d bytes: must be a multiple of 8", size)
	}
	whole, err := p.transport()
	if err != nil {
		tb.Fatalf("build packet: %v", err)
	}
	var frames [][]byte
	for from := 0; from < len(whole); from += size {
		to := from + size
		frames = append(frames, p.Fragment(from, to, to < len(whole)).Frame(tb))
	}
	return frames
}
