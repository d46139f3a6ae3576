package packettest

import (
	"encoding/binary"

	"github.com/xlvs/xlvs/packet"
)

// Extension is an IPv6 extension header; its first byte, what follows it, is
// filled in when the packet is built.
type Extension struct {
	protocol packet.Protocol
	body     []byte
}

// HopByHop is a hop-by-hop options header of n bytes (a multiple of 8), all padding.
func HopByHop(n int) Extension { return Extension{0, padding(n)} }

// DestinationOptions is a destination options header of n bytes (a multiple of
// 8), all padding.
func DestinationOptions(n int) Extension { return Extension{60, padding(n)} }

// Routing is a routing header with n addresses and no segments left, of type 0,
// the only one that gopacket reads (RFC 8200, 4.4; RFC 5095 lets it pass).
func Routing(n int) Extension {
	b := make([]byte, 8+16*n)
	b[1] = byte(2 * n)
	return Extension{43, b}
}

// Authentication is an authentication header of n bytes (a multiple of 4, from
// 12; of 8 to be valid in IPv6).
func Authentication(n int) Extension {
	b := make([]byte, n)
	b[1] = byte(n/4 - 2)
	return Extension{51, b}
}

// FragmentHeader is a fragment header. With offset 0 and nothing to follow it is an
// atomic fragment (RFC 6946). The offset is in bytes.
func FragmentHeader(id uint32, offset int, more bool) Extension {
	b := make([]byte, 8)
	w := uint16(offset &^ 7)
	if more {
		w |= 1
	}
	binary.BigEndian.PutUint16(b[2:], w)
	binary.BigEndian.PutUint32(b[4:], id)
	return Extension{44, b}
}

// padding is an options header of n bytes with Pad1 options (RFC 8200, 4.2).
func padding(n int) []byte {
	b := make([]byte, n)
	b[1] = byte(n/8 - 1)
	return b
}

// link returns the headers in a row, before what next names, and what the first
// of them is.
func link(headers []Extension, next packet.Protocol) (b []byte, first packet.Protocol) {
	for i, h := range headers {
		follows := next
		if i+1 < len(headers) {
			follows = headers[i+1].protocol
		}
		b = append(b, byte(follows))
		b = append(b, h.body[1:]...)
	}
	if len(headers) > 0 {
		next = headers[0].protocol
	}
	return b, next
}
