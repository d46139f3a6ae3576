package packet

import "encoding/binary"

// This file has the shortcuts for what nearly every frame is: TCP or UDP,
// whole, right behind an Ethernet header and an IP header without options or
// extensions. They return false, with nothing said about the frame and p in no
// certain state, for everything else and for whatever is wrong: parseAny then
// finds out what. A fuzz target holds that both say the same.

const (
	plain4L4 = EthernetLen + IPv4Len
	plain6L4 = EthernetLen + IPv6Len
)

// plain4 parses a packet that begins with 0x45 in an untagged IPv4 frame.
func plain4(b []byte, p *Parsed) bool {
	if len(b) < IPv4Len+UDPLen {
		return false
	}
	first := binary.BigEndian.Uint64(b)           // version, IHL, TOS, total length, ID, fragment
	second := binary.BigEndian.Uint64(b[ip4TTL:]) // TTL, protocol, checksum, source
	dst := binary.BigEndian.Uint32(b[ip4Dst:])
	ports := binary.BigEndian.Uint32(b[IPv4Len:])
	total, protocol := int(uint16(first>>32)), Protocol(second>>48)
	if total > len(b) || total < IPv4Len || first&(ip4MoreBit|ip4FragmentMask) != 0 {
		return false
	}
	flags, transport := uint8(0), b[IPv4Len:total]
	switch {
	case protocol == TCP && isTCP(transport):
		flags = TCPHeader(transport).Flags()
	case protocol == UDP && isUDP(transport):
	default:
		return false
	}
	p.Tuple.Src, p.Tuple.Dst = AddrFrom4(uint32(second)), AddrFrom4(dst)
	p.Tuple.SrcPort, p.Tuple.DstPort = uint16(ports>>16), uint16(ports)
	p.Tuple.Protocol = protocol
	p.FragmentID = 0
	p.L3, p.L4, p.Len, p.VLAN = EthernetLen, plain4L4, uint16(total), 0
	p.Tags, p.Kind = 0, KindFlow
	p.DSCP, p.TTL, p.Flags = uint8(first>>50)&maxDSCP, uint8(second>>56), flags
	return true
}

// plain6 parses a packet that begins with 6 in an untagged IPv6 frame.
func plain6(b []byte, p *Parsed) bool {
	if len(b) < IPv6Len+UDPLen {
		return false
	}
	first := binary.BigEndian.Uint64(b) // version, class, label, payload length, next header, hop limit
	src, dst := IPv6(b).Src(), IPv6(b).Dst()
	ports := binary.BigEndian.Uint32(b[IPv6Len:])
	total, protocol := IPv6Len+int(uint16(first>>16)), Protocol(first>>8)
	if total > len(b) || src.Is4() || dst.Is4() {
		return false
	}
	flags, transport := uint8(0), b[IPv6Len:total]
	switch {
	case protocol == TCP && isTCP(transport):
		flags = TCPHeader(transport).Flags()
	case protocol == UDP && isUDP(transport):
	default:
		return false
	}
	p.Tuple.Src, p.Tuple.Dst = src, dst
	p.Tuple.SrcPort, p.Tuple.DstPort = uint16(ports>>16), uint16(ports)
	p.Tuple.Protocol = protocol
	p.FragmentID = 0
	p.L3, p.L4, p.Len, p.VLAN = EthernetLen, plain6L4, uint16(total), 0
	p.Tags, p.Kind = 0, KindFlow
	p.DSCP, p.TTL, p.Flags = uint8(first>>54)&maxDSCP, uint8(first), flags
	return true
}

// isTCP and isUDP report whether b is a whole TCP segment or UDP datagram with a
// sound header. They are small enough to be inlined.
func isTCP(b []byte) bool {
	if len(b) < TCPLen {
		return false
	}
	o := TCPHeader(b).DataOffset()
	return o >= TCPLen && o <= len(b)
}

func isUDP(b []byte) bool {
	if len(b) < UDPLen {
		return false
	}
	n := UDPHeader(b).Length()
	return n >= UDPLen && n <= len(b)
}
