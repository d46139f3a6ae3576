package affinity

import "github.com/xlvs/xlvs/packet"

// Key names an entry: a connection, a template or the fragments of a packet.
// The four kinds share one form, as in IPVS, so one table type serves them all.
// Fill one with SetConn, SetTemplate, SetMark or SetFragment: in place, because a copy
// of six words that were just written costs more than a lookup's arithmetic. Keys may be compared.
type Key struct {
	// addr[0] is source<<32 | destination for IPv4; all four are source high and
	// low, destination high and low for IPv6.
	addr [4]uint64
	// ident has the ports and the protocol where a slot's ident word has them.
	ident uint64
	v6    bool
}

// protocolFragment is the protocol in the key of a packet's fragments: the
// number of the IPv6 fragment header (RFC 8200, 4.5), which is nobody's
// transport protocol.
const protocolFragment packet.Protocol = 44

// IPv6 reports the family of the key's addresses.
func (k *Key) IPv6() bool { return k.v6 }

// fragment reports whether it is the key of a packet's fragments.
func (k *Key) fragment() bool {
	return packet.Protocol(k.ident>>identProtocol) == protocolFragment
}

// side is the client's port and the protocol in one word of 32 bits.
func (k *Key) side() uint64 {
	return k.ident>>identPorts&0xffff0000 | k.ident>>identProtocol&0xff
}

// SetConn makes k the key of a connection.
func (k *Key) SetConn(t *packet.Tuple) {
	k.set(t.Src, t.Dst, uint32(t.SrcPort)<<16|uint32(t.DstPort), t.Protocol)
}

// SetTemplate makes k the key of a service's template for one client: the
// client's address as masked by the service, and the service itself
// (ip_vs_sched_persist). port is 0 for a service of all ports.
func (k *Key) SetTemplate(client packet.Addr, protocol packet.Protocol, address packet.Addr, port uint16) {
	k.set(client, address, uint32(port), protocol)
}

// SetMark makes k the key of the template of a service by firewall mark. One
// template serves every address, port and protocol that carries the mark; the
// mark stands in the destination's place, and the protocol is 0.
func (k *Key) SetMark(client packet.Addr, mark uint32) {
	k.set(client, packet.Addr{Lo: uint64(mark)}, 0, 0)
}

// SetFragment makes k the key by which later fragments of a packet find its
// first one: addresses, identification and, for IPv4, the protocol (RFC 791,
// 3.2; RFC 8200, 4.5).
func (k *Key) SetFragment(t *packet.Tuple, id uint32) {
	if t.Src.Is4() {
		id = id<<16 | uint32(t.Protocol)
	}
	k.set(t.Src, t.Dst, id, protocolFragment)
}

// set joins the parts; ports is source<<16 | destination.
func (k *Key) set(src, dst packet.Addr, ports uint32, protocol packet.Protocol) {
	k.ident = uint64(ports)<<identPorts | uint64(protocol)<<identProtocol
	k.v6 = !src.Is4()
	if !k.v6 {
		k.addr = [4]uint64{src.Lo<<32 | dst.Lo&0xffffffff}
		return
	}
	k.addr = [4]uint64{src.Hi, src.Lo, dst.Hi, dst.Lo}
}

// parts is set's inverse.
func (k *Key) parts() (src, dst packet.Addr, ports uint32, protocol packet.Protocol) {
	ports, protocol = uint32(k.ident>>identPorts), packet.Protocol(k.ident>>identProtocol)
	if k.v6 {
		return packet.Addr{Hi: k.addr[0], Lo: k.addr[1]}, packet.Addr{Hi: k.addr[2], Lo: k.addr[3]}, ports, protocol
	}
	return packet.AddrFrom4(uint32(k.addr[0] >> 32)), packet.AddrFrom4(uint32(k.addr[0])), ports, protocol
}
