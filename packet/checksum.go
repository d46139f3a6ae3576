package packet

import "encoding/binary"

// Sum is an Internet checksum (RFC 1071) while it is added up: the one's
// complement sum of 16-bit words so far, its carries not yet folded in. The zero
// Sum is empty. It holds the carries of 256 TB.
type Sum uint64

// Add adds b, an odd last byte as if a zero followed. What came before must have
// been of even length.
func (s Sum) Add(b []byte) Sum {
	for len(b) >= 4 {
		s += Sum(binary.BigEndian.Uint32(b)) // two words at once (RFC 1071, 2.B)
		b = b[4:]
	}
	if len(b) >= 2 {
		s += Sum(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += Sum(b[0]) << 8
	}
	return s
}

// addAddr adds the four or sixteen bytes of a.
func (s Sum) addAddr(a Addr) Sum {
	if a.Is4() {
		return s + Sum(a.V4())
	}
	return s.addAddr6(a)
}

func (s Sum) addAddr6(a Addr) Sum {
	return s + Sum(a.Hi>>32) + Sum(a.Hi&0xffffffff) + Sum(a.Lo>>32) + Sum(a.Lo&0xffffffff)
}

// Checksum is what goes into a header's checksum field, which counted as zero: the
// complement of the sum. A header together with its checksum sums up to 0. UDP
// writes 0xffff for 0, because 0 is no checksum there (RFC 768).
func (s Sum) Checksum() uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// PseudoHeader is the sum of the pseudo header that TCP, UDP and ICMPv6 checksums
// include: RFC 9293, 3.1 for IPv4 and RFC 8200, 8.1 for IPv6. The length is the
// transport header's and payload's, in bytes.
func PseudoHeader(src, dst Addr, protocol Protocol, length int) Sum {
	return Sum(protocol).addAddr(src).addAddr(dst) + Sum(length)
}

// UpdateChecksum returns the checksum of a header in which a 16-bit word changed
// from old to new: RFC 1624, equation 3, HC' = ~(~HC + ~m + m'). A UDP checksum
// of 0 must be left alone.
func UpdateChecksum(sum, old, new uint16) uint16 {
	return (Sum(^sum) + Sum(^old) + Sum(new)).Checksum()
}

// UpdateChecksum32 is UpdateChecksum for two words.
func UpdateChecksum32(sum uint16, old, new uint32) uint16 {
	return (Sum(^sum) + Sum(^old) + Sum(new)).Checksum()
}

// UpdateChecksumAddr is UpdateChecksum for an address of either family; old and
// new are of the same.
func UpdateChecksumAddr(sum uint16, old, new Addr) uint16 {
	if old.Is4() {
		return UpdateChecksum32(sum, old.V4(), new.V4())
	}
	inverted := Addr{Hi: ^old.Hi, Lo: ^old.Lo}
	return Sum(^sum).addAddr6(inverted).addAddr6(new).Checksum()
}
