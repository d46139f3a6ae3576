package packet

import "encoding/binary"

// maxDSCP is the highest differentiated services code point, and a mask of its six bits.
const maxDSCP = 0x3f

// IPv4 is a view of an IPv4 header (RFC 791, 3.1). It must hold IPv4Len bytes.
type IPv4 []byte

// IPv4Len is the length of an IPv4 header without options, in bytes.
const IPv4Len = 20

const (
	ip4VersionIHL   = 0
	ip4TOS          = 1
	ip4TotalLength  = 2
	ip4ID           = 4
	ip4Fragment     = 6
	ip4TTL          = 8
	ip4Protocol     = 9
	ip4Checksum     = 10
	ip4Src          = 12
	ip4Dst          = 16
	ip4FragmentMask = 0x1fff // offset in units of 8 bytes
	ip4MoreBit      = 0x2000
	ip4DontBit      = 0x4000
)

// Version is 4 for IPv4.
func (h IPv4) Version() int { return int(h[ip4VersionIHL] >> 4) }

// HeaderLen is the header's length with its options, in bytes (a sound one has 20 to 60).
func (h IPv4) HeaderLen() int { return int(h[ip4VersionIHL]&0xf) * 4 }

// DSCP is the differentiated services code point (RFC 2474).
func (h IPv4) DSCP() uint8 { return h[ip4TOS] >> 2 }

// TotalLength is the packet's length with its header, in bytes.
func (h IPv4) TotalLength() int { return int(binary.BigEndian.Uint16(h[ip4TotalLength:])) }

// ID is the identification that a packet's fragments share.
func (h IPv4) ID() uint16 { return binary.BigEndian.Uint16(h[ip4ID:]) }

// FragmentOffset is where in its packet's payload this fragment lies, in bytes.
func (h IPv4) FragmentOffset() int {
	return int(binary.BigEndian.Uint16(h[ip4Fragment:])&ip4FragmentMask) * 8
}

// MoreFragments reports whether fragments follow this one.
func (h IPv4) MoreFragments() bool {
	return binary.BigEndian.Uint16(h[ip4Fragment:])&ip4MoreBit != 0
}

// TTL is the time to live, in hops.
func (h IPv4) TTL() uint8 { return h[ip4TTL] }

// Protocol is what follows the header.
func (h IPv4) Protocol() Protocol { return Protocol(h[ip4Protocol]) }

// Checksum is the header's checksum.
func (h IPv4) Checksum() uint16 { return binary.BigEndian.Uint16(h[ip4Checksum:]) }

// Src is the source address.
func (h IPv4) Src() Addr { return AddrFrom4(binary.BigEndian.Uint32(h[ip4Src:])) }

// Dst is the destination address.
func (h IPv4) Dst() Addr { return AddrFrom4(binary.BigEndian.Uint32(h[ip4Dst:])) }

// IPv6 is a view of an IPv6 header (RFC 8200, 3). It must hold IPv6Len bytes.
type IPv6 []byte

// IPv6Len is the length of an IPv6 header without extension headers, in bytes.
const IPv6Len = 40

const (
	ip6VersionClass  = 0
	ip6PayloadLength = 4
	ip6NextHeader    = 6
	ip6HopLimit      = 7
	ip6Src           = 8
	ip6Dst           = 24
)

// Version is 6 for IPv6.
func (h IPv6) Version() int { return int(h[ip6VersionClass] >> 4) }

// DSCP is the differentiated services code point (RFC 2474): the upper six bits
// of the traffic class, which begins in the middle of the first byte.
func (h IPv6) DSCP() uint8 {
	return uint8(binary.BigEndian.Uint16(h[ip6VersionClass:])>>6) & maxDSCP
}

// PayloadLength is the length of what follows the header, extension headers
// included, in bytes.
func (h IPv6) PayloadLength() int { return int(binary.BigEndian.Uint16(h[ip6PayloadLength:])) }

// NextHeader is what follows the header: a protocol or an extension header.
func (h IPv6) NextHeader() Protocol { return Protocol(h[ip6NextHeader]) }

// HopLimit is IPv6's TTL.
func (h IPv6) HopLimit() uint8 { return h[ip6HopLimit] }

// Src is the source address.
func (h IPv6) Src() Addr { return addrFrom16(h[ip6Src:]) }

// Dst is the destination address.
func (h IPv6) Dst() Addr { return addrFrom16(h[ip6Dst:]) }

func addrFrom16(b []byte) Addr {
	return Addr{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:])}
}
