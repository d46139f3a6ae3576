package packet

import "net/netip"

// Protocol is an IP protocol number (IANA).
type Protocol uint8

// The protocols that xlvs treats by name.
const (
	ICMP   Protocol = 1
	TCP    Protocol = 6
	UDP    Protocol = 17
	ICMPv6 Protocol = 58
	SCTP   Protocol = 132
)

// Tuple names a flow in the direction client -> virtual address. Ports are in
// host order, and 0 where the packet has none.
type Tuple struct {
	Src, Dst         Addr
	SrcPort, DstPort uint16
	Protocol         Protocol
}

// Reverse returns the tuple of the flow's other direction.
func (t Tuple) Reverse() Tuple {
	return Tuple{Src: t.Dst, Dst: t.Src, SrcPort: t.DstPort, DstPort: t.SrcPort, Protocol: t.Protocol}
}

// Source and Destination are the two ends as the standard library has them.
func (t Tuple) Source() netip.AddrPort { return netip.AddrPortFrom(t.Src.Netip(), t.SrcPort) }

// Destination is the virtual end of the tuple.
func (t Tuple) Destination() netip.AddrPort { return netip.AddrPortFrom(t.Dst.Netip(), t.DstPort) }
