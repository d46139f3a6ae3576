package packet

import (
	"encoding/binary"
	"net/netip"
)

// Addr is an IPv4 or IPv6 address as two words, big-endian in value: Hi holds
// the first eight bytes. An IPv4 address is held in its mapped form
// (RFC 4291, 2.5.5.2), as in net/netip, so that every Addr tells its family.
// The zero Addr is the IPv6 address "::".
type Addr struct {
	Hi, Lo uint64
}

// mapped is the low word's upper half in ::ffff:0:0/96.
const mapped = 0xffff << 32

// AddrFrom4 returns the Addr of an IPv4 address in host order.
func AddrFrom4(v4 uint32) Addr { return Addr{Lo: mapped | uint64(v4)} }

// AddrFrom returns the Addr of ip. Its zone is ignored.
func AddrFrom(ip netip.Addr) Addr {
	b := ip.As16()
	return Addr{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}

// Is4 reports whether a is an IPv4 address.
func (a Addr) Is4() bool { return a.Hi == 0 && a.Lo>>32 == 0xffff }

// V4 returns the IPv4 address in host order; it is valid if Is4.
func (a Addr) V4() uint32 { return uint32(a.Lo) }

// And returns a masked by m, both words bit by bit. It is how persistence
// groups clients; m need not be contiguous.
func (a Addr) And(m Addr) Addr { return Addr{Hi: a.Hi & m.Hi, Lo: a.Lo & m.Lo} }

// Netip returns the address as the standard library has it, IPv4 unmapped.
func (a Addr) Netip() netip.Addr {
	if a.Is4() {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], a.V4())
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	return netip.AddrFrom16(b)
}

// String is the address's usual text form.
func (a Addr) String() string { return a.Netip().String() }
