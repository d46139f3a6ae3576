package dataplane

import "github.com/xlvs/xlvs/packet"

// reset answers a segment that belongs to no connection, as a host does in whose eyes it
// is closed (RFC 9293, 3.10.7.1): from the virtual address, with the numbers that the
// sender will believe. A reset is not answered, nor is a segment with a wrong checksum
// or one that is not all there.
func reset(frame *Frame, p *packet.Parsed, _ *about) bool {
	if p.Kind != packet.KindFlow || p.Flags&packet.RST != 0 {
		return false
	}
	segment := frame.Bytes()[p.L4 : p.L3+p.Len]
	pseudo := packet.PseudoHeader(p.Tuple.Src, p.Tuple.Dst, packet.TCP, len(segment))
	if pseudo.Add(segment).Checksum() != 0 {
		return false
	}
	h := packet.TCPHeader(segment)
	sequence, acknowledgement, flags := uint32(0), uint32(0), packet.RST
	if p.Flags&packet.ACK != 0 {
		sequence = h.Acknowledgement()
	} else {
		flags |= packet.ACK
		acknowledgement = h.Sequence() + segmentLen(h, p.Flags)
	}
	h = packet.TCPHeader(reply(frame, p, packet.TCPLen))
	h.Put(p.Tuple.DstPort, p.Tuple.SrcPort, sequence, acknowledgement, flags)
	h.SetChecksum(packet.PseudoHeader(p.Tuple.Dst, p.Tuple.Src, packet.TCP, len(h)))
	return true
}

// segmentLen is SEG.LEN: the payload, and one each for SYN and FIN (RFC 9293, 3.4).
func segmentLen(segment packet.TCPHeader, flags uint8) uint32 {
	n := uint32(len(segment) - segment.DataOffset())
	if flags&packet.SYN != 0 {
		n++
	}
	if flags&packet.FIN != 0 {
		n++
	}
	return n
}

// reply makes the frame one of the packet's receiver to its sender, with n bytes behind
// a new IP header, and returns these; they hold anything. The packet is as long at least.
func reply(frame *Frame, p *packet.Parsed, n int) []byte {
	l3, header := int(p.L3), packet.IPv4Len
	if !p.Tuple.Src.Is4() {
		header = packet.IPv6Len
	}
	frame.shorten(l3 + header + n)
	b := frame.Bytes()
	packet.Ethernet(b).Swap()
	ip := b[l3:]
	if p.Tuple.Src.Is4() {
		packet.IPv4(ip).Put4(p.Tuple.Dst, p.Tuple.Src, p.Tuple.Protocol, p.DSCP, header+n)
	} else {
		packet.IPv6(ip).Put6(p.Tuple.Dst, p.Tuple.Src, p.Tuple.Protocol, p.DSCP, n)
	}
	return ip[header : header+n]
}
