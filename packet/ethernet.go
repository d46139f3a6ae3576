package packet

import "encoding/binary"

// Ethernet is a view of an Ethernet II header (IEEE 802.3, 3.1.1) at the start
// of a frame. It must hold EthernetLen bytes.
type Ethernet []byte

// Lengths in bytes.
const (
	EthernetLen = 14
	VLANTagLen  = 4
	MACLen      = 6
)

const (
	etherDst  = 0
	etherSrc  = 6
	etherType = 12
)

// EtherType says what a frame carries (IANA, IEEE 802 numbers).
type EtherType uint16

// The types that Parse follows.
const (
	EtherTypeIPv4 EtherType = 0x0800
	EtherTypeIPv6 EtherType = 0x86dd
	EtherTypeVLAN EtherType = 0x8100 // customer tag, IEEE 802.1Q
	EtherTypeQinQ EtherType = 0x88a8 // service tag, IEEE 802.1ad
	EtherType9100 EtherType = 0x9100 // an outer tag of before 802.1ad, still in use
)

// IsTag reports whether a VLAN tag follows.
func (t EtherType) IsTag() bool {
	return t == EtherTypeVLAN || t == EtherTypeQinQ || t == EtherType9100
}

// maxTags is how many VLAN tags Parse looks behind.
const maxTags = 2

// vlanIDMask is the part of a tag that is the VLAN identifier (12 bits); the
// rest is priority and drop eligibility.
const vlanIDMask = 0x0fff

// Dst is the destination MAC address.
func (e Ethernet) Dst() [MACLen]byte { return [MACLen]byte(e[etherDst:]) }

// Src is the source MAC address.
func (e Ethernet) Src() [MACLen]byte { return [MACLen]byte(e[etherSrc:]) }

// SetDst writes the destination MAC address.
func (e Ethernet) SetDst(mac [MACLen]byte) { *(*[MACLen]byte)(e[etherDst:]) = mac }

// SetSrc writes the source MAC address.
func (e Ethernet) SetSrc(mac [MACLen]byte) { *(*[MACLen]byte)(e[etherSrc:]) = mac }

// Type is the EtherType: of the tag if the frame has one.
func (e Ethernet) Type() EtherType { return EtherType(binary.BigEndian.Uint16(e[etherType:])) }
