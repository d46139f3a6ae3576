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

// plain4 parses an IPv4 packet that begins with 0x45 in an untagged frame. b
// holds IPv4Len+UDPLen bytes at least.
func plain4(b []byte, p *Parsed) bool {
	_ = b[IPv4Len+UDPLen-1]
	first := binary.BigEndian.Uint64(b)           // version and IHL, TOS, total length, ID, fragment
	second := binary.BigEndian.Uint64(b[ip4TTL:]) // TTL, protocol, checksum, source
	ports := binary.BigEndian.Uint64(b[IPv4Len:]) // ports and the next four bytes
	dst := binary.BigEndian.Uint32(b[ip4Dst:])
	total := int(uint16(first >> 32))
	if total > len(b) || first&(ip4MoreBit|ip4FragmentMask) != 0 {
		return false
	}
	flags, protocol := uint8(0), Protocol(second>>48)
	switch protocol {
	case TCP:
		if total < IPv4Len+TCPLen || len(b) < IPv4Len+TCPLen {
			return false
		}
		h := TCPHeader(b[IPv4Len:])
		if o := h.DataOffset(); o < TCPLen || o > total-IPv4Len {
			return false
		}
		flags = h.Flags()
	case UDP:
		if n := int(uint16(ports >> 16)); n < UDPLen || n > total-IPv4Len {
			return false
		}
	default:
		return false
	}
	p.Tuple.Src = AddrFrom4(uint32(second))
	p.Tuple.Dst = AddrFrom4(dst)
	p.Tuple.SrcPort, p.Tuple.DstPort = uint16(ports>>48), uint16(ports>>32)
	p.Tuple.Protocol = protocol
	p.FragmentID = 0
	p.L3, p.L4, p.Len, p.VLAN = EthernetLen, plain4L4, uint16(total), 0
	p.Tags, p.Kind = 0, KindFlow
	p.DSCP, p.TTL, p.Flags = uint8(first>>50)&0x3f, uint8(second>>56), flags
	return true
}

// plain6 parses a packet that begins with 6 in an untagged IPv6 frame.
func plain6(b []byte, p *Parsed) bool {
	if len(b) < IPv6Len+UDPLen {
		return false
	}
	first := binary.BigEndian.Uint64(b)           // version and class, label, payload length, next header, hop limit
	ports := binary.BigEndian.Uint64(b[IPv6Len:]) // ports and the next four bytes
	length := int(uint16(first >> 16))
	if length > len(b)-IPv6Len || length > 0xffff-IPv6Len {
		return false
	}
	src, dst := IPv6(b).Src(), IPv6(b).Dst()
	if src.Is4() || dst.Is4() {
		return false
	}
	flags, protocol := uint8(0), Protocol(first>>8)
	switch protocol {
	case TCP:
		if length < TCPLen || len(b) < IPv6Len+TCPLen {
			return false
		}
		h := TCPHeader(b[IPv6Len:])
		if o := h.DataOffset(); o < TCPLen || o > length {
			return false
		}
		flags = h.Flags()
	case UDP:
		if n := int(uint16(ports >> 16)); n < UDPLen || n > length {
			return false
		}
	default:
		return false
	}
	p.Tuple.Src, p.Tuple.Dst = src, dst
	p.Tuple.SrcPort, p.Tuple.DstPort = uint16(ports>>48), uint16(ports>>32)
	p.Tuple.Protocol = protocol
	p.FragmentID = 0
	p.L3, p.L4, p.Len, p.VLAN = EthernetLen, plain6L4, uint16(IPv6Len+length), 0
	p.Tags, p.Kind = 0, KindFlow
	p.DSCP, p.TTL, p.Flags = uint8(first>>54)&0x3f, uint8(first), flags
	return true
}
