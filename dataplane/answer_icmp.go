package dataplane

import "github.com/xlvs/xlvs/packet"

// The longest ICMP errors, from the IP header on: RFC 1812, 4.3.2.3, and the least MTU
// of IPv6 (RFC 4443, 2.4).
const (
	longestError4 = 576
	longestError6 = 1280
)

// icmpClass is the DSCP of ICMP errors: precedence internetwork control, as RFC 1812,
// 4.3.2.5, wants and Linux has it for IPv4.
const icmpClass = 48

// unreachable answers with port unreachable, from the virtual address itself, as the
// icmp_send of ip_vs_leave does.
func unreachable(frame *Frame, p *packet.Parsed, _ *about) bool {
	if p.Tuple.Dst.Is4() {
		return icmp4(frame, p, p.Tuple.Dst, packet.ICMPUnreachable, packet.ICMPPort, 0)
	}
	return icmp6(frame, p, p.Tuple.Dst, packet.ICMPv6Unreachable, packet.ICMPv6Port, 0)
}

// tooBig answers with fragmentation needed and DF set, or packet too big.
func tooBig(frame *Frame, p *packet.Parsed, a *about) bool {
	if p.Tuple.Dst.Is4() {
		return icmp4(frame, p, a.from, packet.ICMPUnreachable, packet.ICMPFragmentation, uint32(a.mtu))
	}
	return icmp6(frame, p, a.from, packet.ICMPv6TooBig, 0, uint32(a.mtu))
}

// timeExceeded answers that the packet's time to live was over in transit.
func timeExceeded(frame *Frame, p *packet.Parsed, a *about) bool {
	if p.Tuple.Dst.Is4() {
		return icmp4(frame, p, a.from, packet.ICMPTimeExceeded, 0, 0)
	}
	return icmp6(frame, p, a.from, packet.ICMPv6TimeExceeded, 0, 0)
}

// icmp4 makes an ICMP error about the packet. The packet stays where it is and is the
// quotation; new headers go before it.
func icmp4(frame *Frame, p *packet.Parsed, from packet.Addr, kind, code uint8, rest uint32) bool {
	const headers = packet.IPv4Len + packet.ICMPLen
	l3, total := int(p.L3), min(int(p.Len)+headers, longestError4)
	if !frame.insert(l3, headers) {
		return false
	}
	frame.shorten(l3 + total)
	b := frame.Bytes()
	packet.Ethernet(b).Swap()
	packet.IPv4(b[l3:]).Put4(from, p.Tuple.Src, packet.ICMP, icmpClass, total)
	message := packet.ICMPHeader(b[l3+packet.IPv4Len : l3+total])
	message.Put(kind, code, rest)
	message.SetChecksum(0)
	return true
}

// icmp6 is icmp4 for ICMPv6.
func icmp6(frame *Frame, p *packet.Parsed, from packet.Addr, kind, code uint8, rest uint32) bool {
	const headers = packet.IPv6Len + packet.ICMPLen
	l3, total := int(p.L3), min(int(p.Len)+headers, longestError6)
	if !frame.insert(l3, headers) {
		return false
	}
	frame.shorten(l3 + total)
	b := frame.Bytes()
	packet.Ethernet(b).Swap()
	packet.IPv6(b[l3:]).Put6(from, p.Tuple.Src, packet.ICMPv6, 0, total-packet.IPv6Len)
	message := packet.ICMPHeader(b[l3+packet.IPv6Len : l3+total])
	message.Put(kind, code, rest)
	message.SetChecksum(packet.PseudoHeader(from, p.Tuple.Src, packet.ICMPv6, len(message)))
	return true
}
