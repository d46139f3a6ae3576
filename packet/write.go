package packet

import "encoding/binary"

// This file writes headers in place, for packets of the balancer's own making and for
// the few fields that it changes.

// DontFragment reports whether the packet must not be cut into fragments (RFC 791).
func (h IPv4) DontFragment() bool {
	return binary.BigEndian.Uint16(h[ip4Fragment:])&ip4DontBit != 0
}

// DecrementTTL takes one hop from the TTL, which is at least 1. The header's checksum
// follows: the TTL is the upper half of its word, so 0x0100 goes to the sum, and a carry
// round to its end (RFC 1141; ip_decrease_ttl). It never becomes 0xffff, as RFC 1624 wants.
func (h IPv4) DecrementTTL() {
	b := (*[ip4Src - ip4TTL]byte)(h[ip4TTL:])
	w := binary.BigEndian.Uint32(b[:]) // TTL, protocol, checksum
	if uint16(w) >= 0xfeff {
		w -= 0xffff // a carry less into the protocol, and one more to the sum
	}
	binary.BigEndian.PutUint32(b[:], w-(1<<24-0x0100))
}

// DecrementHopLimit takes one hop from the hop limit, which is at least 1.
func (h IPv6) DecrementHopLimit() { h[ip6HopLimit]-- }

// Swap turns the frame round: who sent it gets it. Its tags stay.
func (e Ethernet) Swap() {
	dst, src := e.Dst(), e.Src()
	e.SetDst(src)
	e.SetSrc(dst)
}

// PutTag writes a customer tag (802.1Q) behind the MAC addresses.
func (e Ethernet) PutTag(control uint16) {
	binary.BigEndian.PutUint16(e[etherType:], uint16(EtherTypeVLAN))
	binary.BigEndian.PutUint16(e[EthernetLen:], control)
}

// SetVLAN makes the outermost tag a customer tag of this identifier. Its priority stays.
func (e Ethernet) SetVLAN(id uint16) {
	e.PutTag(binary.BigEndian.Uint16(e[EthernetLen:])&^vlanIDMask | id)
}

// IsGroup reports whether a MAC address is of a group: multicast or broadcast.
func IsGroup(mac [MACLen]byte) bool { return mac[0]&1 != 0 }

// AnswerTTL is the TTL and hop limit of packets of our own (IANA, IP parameters).
const AnswerTTL = 64

// Put4 writes an IPv4 header without options: an atomic datagram, which is not to be
// fragmented and needs no identification (RFC 6864, 4.1). length is the packet's,
// header included; class is the DSCP.
func (h IPv4) Put4(src, dst Addr, protocol Protocol, class uint8, length int) {
	h[ip4VersionIHL], h[ip4TOS] = 4<<4|IPv4Len/4, class<<2
	binary.BigEndian.PutUint16(h[ip4TotalLength:], uint16(length))
	binary.BigEndian.PutUint32(h[ip4ID:], ip4DontBit)
	h[ip4TTL], h[ip4Protocol] = AnswerTTL, uint8(protocol)
	binary.BigEndian.PutUint16(h[ip4Checksum:], 0)
	binary.BigEndian.PutUint32(h[ip4Src:], src.V4())
	binary.BigEndian.PutUint32(h[ip4Dst:], dst.V4())
	h.SetChecksum()
}

// SetChecksum writes the header's checksum anew.
func (h IPv4) SetChecksum() {
	binary.BigEndian.PutUint16(h[ip4Checksum:], 0)
	binary.BigEndian.PutUint16(h[ip4Checksum:], Sum(0).Add(h[:h.HeaderLen()]).Checksum())
}

// Put6 writes an IPv6 header without a flow label. length is that of what follows.
func (h IPv6) Put6(src, dst Addr, protocol Protocol, class uint8, length int) {
	binary.BigEndian.PutUint32(h[ip6VersionClass:], 6<<28|uint32(class)<<22)
	binary.BigEndian.PutUint16(h[ip6PayloadLength:], uint16(length))
	h[ip6NextHeader], h[ip6HopLimit] = uint8(protocol), AnswerTTL
	src.put(h[ip6Src:])
	dst.put(h[ip6Dst:])
}

// put writes the sixteen bytes of an address.
func (a Addr) put(b []byte) {
	binary.BigEndian.PutUint64(b, a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
}

// Types and codes of the ICMP errors that the balancer sends (RFC 792, RFC 4443).
const (
	ICMPUnreachable   uint8 = icmpUnreachable
	ICMPTimeExceeded  uint8 = icmpTimeExceeded
	ICMPPort          uint8 = 3 // code of unreachable: no such port
	ICMPFragmentation uint8 = 4 // code of unreachable: fragmentation needed and DF set

	ICMPv6Unreachable  uint8 = 1
	ICMPv6TooBig       uint8 = 2
	ICMPv6TimeExceeded uint8 = 3
	ICMPv6Port         uint8 = 4 // code of unreachable
)

// Put writes the header of an ICMP or ICMPv6 error, without its checksum. rest is the
// last four bytes: for fragmentation needed and packet too big the MTU.
func (h ICMPHeader) Put(kind, code uint8, rest uint32) {
	h[icmpType], h[icmpCode] = kind, code
	binary.BigEndian.PutUint16(h[icmpChecksum:], 0)
	binary.BigEndian.PutUint32(h[icmpRest:], rest)
}

// SetChecksum writes the checksum of an ICMP message, which is all of h. before is the
// sum of the pseudo header, which ICMPv6 has.
func (h ICMPHeader) SetChecksum(before Sum) {
	binary.BigEndian.PutUint16(h[icmpChecksum:], before.Add(h).Checksum())
}

// Sequence and Acknowledgement are the segment's numbers.
func (h TCPHeader) Sequence() uint32 { return binary.BigEndian.Uint32(h[tcpSequence:]) }

// Acknowledgement is valid if the flag ACK is set.
func (h TCPHeader) Acknowledgement() uint32 {
	return binary.BigEndian.Uint32(h[tcpAcknowledgement:])
}

// Put writes a header without options, a window and a checksum.
func (h TCPHeader) Put(src, dst uint16, sequence, acknowledgement uint32, flags uint8) {
	clear(h[:TCPLen])
	binary.BigEndian.PutUint16(h, src)
	binary.BigEndian.PutUint16(h[2:], dst)
	binary.BigEndian.PutUint32(h[tcpSequence:], sequence)
	binary.BigEndian.PutUint32(h[tcpAcknowledgement:], acknowledgement)
	h[tcpDataOffset], h[tcpFlags] = TCPLen/4<<4, flags
}

// SetChecksum writes the checksum of a segment, which is all of h. before is the sum
// of the pseudo header.
func (h TCPHeader) SetChecksum(before Sum) {
	binary.BigEndian.PutUint16(h[tcpChecksum:], 0)
	binary.BigEndian.PutUint16(h[tcpChecksum:], before.Add(h).Checksum())
}
