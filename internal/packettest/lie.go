package packettest

import (
	"encoding/binary"
	"slices"

	"github.com/xlvs/xlvs/packet"
)

// lie changes a frame that is otherwise true. l3 and l4 are the offsets of the
// IP header and of what follows it and its extensions. Checksums stay as they
// were, for who checks lengths must not need them.
type lie func(frame []byte, l3, l4 int) []byte

func (p Packet) lying(l lie) Packet {
	p.lies = append(slices.Clip(p.lies), l)
	return p
}

// Truncated cuts the frame after n bytes.
func (p Packet) Truncated(n int) Packet {
	return p.lying(func(f []byte, _, _ int) []byte { return f[:min(n, len(f))] })
}

// TruncatedTransport cuts the frame after n bytes of what follows the IP header
// and its extensions. Within an ICMP error, that is what routers quote: 8 bytes.
func (p Packet) TruncatedTransport(n int) Packet {
	return p.lying(func(f []byte, _, l4 int) []byte { return f[:min(l4+n, len(f))] })
}

// Padded fills the frame with zeros up to n bytes: 60 is Ethernet's least.
func (p Packet) Padded(n int) Packet {
	return p.Trailed(func(length int) []byte { return make([]byte, max(0, n-length)) })
}

// Trailed appends to the frame what trailer returns for its length.
func (p Packet) Trailed(trailer func(length int) []byte) Packet {
	return p.lying(func(f []byte, _, _ int) []byte { return append(f, trailer(len(f))...) })
}

// Version says another IP version.
func (p Packet) Version(v uint8) Packet {
	return p.lying(func(f []byte, l3, _ int) []byte { f[l3] = v<<4 | f[l3]&0xf; return f })
}

// HeaderLength says another IPv4 header length: n words of four bytes (0-15).
func (p Packet) HeaderLength(n uint8) Packet {
	return p.lying(func(f []byte, l3, _ int) []byte { f[l3] = f[l3]&0xf0 | n; return f })
}

// Length says another IPv4 total length or IPv6 payload length.
func (p Packet) Length(n uint16) Packet {
	return p.lying(func(f []byte, l3, _ int) []byte {
		at := l3 + 2
		if p.etherType == packet.EtherTypeIPv6 {
			at = l3 + 4
		}
		binary.BigEndian.PutUint16(f[at:], n)
		return f
	})
}

// FragmentOffset says another IPv4 fragment offset, in bytes (a multiple of 8).
func (p Packet) FragmentOffset(n uint16) Packet {
	return p.lying(func(f []byte, l3, _ int) []byte {
		w := binary.BigEndian.Uint16(f[l3+6:])
		binary.BigEndian.PutUint16(f[l3+6:], w&0xe000|n/8)
		return f
	})
}

// UDPLength says another UDP length.
func (p Packet) UDPLength(n uint16) Packet {
	return p.lying(func(f []byte, _, l4 int) []byte { binary.BigEndian.PutUint16(f[l4+4:], n); return f })
}

// DataOffset says another TCP header length: n words of four bytes (0-15).
func (p Packet) DataOffset(n uint8) Packet {
	return p.lying(func(f []byte, _, l4 int) []byte { f[l4+12] = n<<4 | f[l4+12]&0xf; return f })
}

// ChunkLength says another length of the first SCTP chunk, its header included.
func (p Packet) ChunkLength(n uint16) Packet {
	return p.lying(func(f []byte, _, l4 int) []byte { binary.BigEndian.PutUint16(f[l4+14:], n); return f })
}

// ExtensionLength says another length of the first extension header, in its own units.
func (p Packet) ExtensionLength(n uint8) Packet {
	return p.lying(func(f []byte, l3, _ int) []byte { f[l3+packet.IPv6Len+1] = n; return f })
}

// WrongChecksum spoils the TCP, UDP or ICMP checksum, as a peer does that leaves
// it to hardware (CHECKSUM_PARTIAL).
func (p Packet) WrongChecksum() Packet {
	at := map[packet.Protocol]int{packet.TCP: 16, packet.UDP: 6, packet.SCTP: 8}[p.protocol]
	if p.protocol == packet.ICMP || p.protocol == packet.ICMPv6 {
		at = 2
	}
	return p.lying(func(f []byte, _, l4 int) []byte { f[l4+at] ^= 0x55; return f })
}
