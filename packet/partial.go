package packet

import "encoding/binary"

// Complete puts the right checksum into a packet that has a partial one, and reports
// whether it did. A sender that leaves checksums to its network card writes the sum of
// the pseudo header there, folded and not complemented; for SCTP it writes 0
// (CHECKSUM_PARTIAL of Linux). On a veth nobody completes it. p is what Parse found;
// only a whole packet can be completed.
//
// A packet whose right checksum happens to look like that stays as it is: the sum
// over all of it is the same.
func Complete(frame []byte, p *Parsed) bool {
	if p.Kind != KindFlow {
		return false
	}
	b := frame[p.L4 : p.L3+p.Len]
	at := tcpChecksum
	switch p.Tuple.Protocol {
	case TCP:
	case UDP:
		at, b = udpChecksum, b[:UDPHeader(b).Length()]
	case SCTP:
		if h := SCTPHeader(b); h.Checksum() == 0 {
			h.SetChecksum()
			return true
		}
		return false
	default:
		return false
	}
	pseudo := PseudoHeader(p.Tuple.Src, p.Tuple.Dst, p.Tuple.Protocol, len(b))
	if binary.BigEndian.Uint16(b[at:]) != ^pseudo.Checksum() {
		return false
	}
	binary.BigEndian.PutUint16(b[at:], 0)
	sum := pseudo.Add(b).Checksum()
	if sum == 0 && p.Tuple.Protocol == UDP {
		sum = 0xffff // 0 is no checksum there (RFC 768)
	}
	binary.BigEndian.PutUint16(b[at:], sum)
	return true
}
