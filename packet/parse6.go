package packet

import "encoding/binary"

// MaxExtensions is how many IPv6 extension headers Parse goes through.
const MaxExtensions = 8

// Extension headers (IANA, IPv6 extension header types).
const (
	hopByHop           Protocol = 0
	routing            Protocol = 43
	fragmentHeader     Protocol = 44
	authentication     Protocol = 51
	destinationOptions Protocol = 60
)

const (
	extensionUnit     = 8 // extension headers are a multiple of it, in bytes
	fragmentHeaderLen = 8
	ip6FragmentMask   = 0xfff8 // offset in bytes
	ip6MoreBit        = 1
)

// isExtension reports whether p is an extension header that parse6 goes through.
func isExtension(p Protocol) bool {
	switch p {
	case hopByHop, routing, fragmentHeader, authentication, destinationOptions:
		return true
	}
	return false
}

// parse6 parses an IPv6 packet and what may follow it in the frame.
func parse6(b []byte, p *Parsed) Malformed {
	if len(b) < IPv6Len {
		return TruncatedIP
	}
	h := IPv6(b)
	length := h.PayloadLength()
	total := IPv6Len + length
	switch {
	case h.Version() != 6:
		return BadVersion
	case length == 0 && h.NextHeader() == hopByHop, total > MaxFrame:
		return Jumbogram
	case len(b) < total:
		return TruncatedPacket
	}
	p.Len, p.DSCP, p.TTL = uint16(total), h.DSCP(), h.HopLimit()

	t := Tuple{Src: h.Src(), Dst: h.Dst()}
	if t.Src.Is4() || t.Dst.Is4() {
		return BadAddress
	}
	c, m := walkExtensions(b[:total], h.NextHeader())
	if m != OK {
		return m
	}
	t.Protocol = c.protocol
	return parseTransport(b[c.offset:total], int(p.L3)+c.offset, t, c.fragment, p)
}

// chain is where a chain of extension headers led to.
type chain struct {
	protocol Protocol
	offset   int // of what protocol names, in bytes from the IP header
	fragment fragment
}

// walkExtensions goes through the extension headers of an IPv6 packet, the first
// of which is next. It stops at a later fragment's header: what follows is in
// the middle of something.
func walkExtensions(packet []byte, next Protocol) (chain, Malformed) {
	c := chain{protocol: next, offset: IPv6Len}
	fragmented := false
	for n := 0; isExtension(c.protocol) && c.fragment.offset == 0; n++ {
		if n == MaxExtensions {
			return c, TooManyExtensions
		}
		rest := packet[c.offset:]
		length := extensionLen(c.protocol, rest)
		if length > len(rest) {
			return c, TruncatedExtension
		}
		if c.protocol == fragmentHeader {
			c.fragment = readFragment(rest)
			if fragmented || c.fragment.offset+len(rest)-length > 0xffff {
				return c, BadFragment
			}
			fragmented = true
		}
		c.protocol, c.offset = Protocol(rest[0]), c.offset+length
	}
	return c, OK
}

// extensionLen is the length in bytes of the extension header at the start of b,
// as it says itself; the least that one has if b is shorter than that.
func extensionLen(p Protocol, b []byte) int {
	switch {
	case len(b) < extensionUnit:
		return extensionUnit
	case p == fragmentHeader: // RFC 8200, 4.5: its second byte is reserved
		return fragmentHeaderLen
	case p == authentication: // RFC 4302, 2.2: in units of 4 bytes, minus 2
		return (int(b[1]) + 2) * 4
	default: // RFC 8200, 4.3: in units of 8 bytes, minus 1
		return (int(b[1]) + 1) * extensionUnit
	}
}

// readFragment reads a fragment header (RFC 8200, 4.5).
func readFragment(b []byte) fragment {
	w := binary.BigEndian.Uint16(b[2:])
	return fragment{
		offset: int(w & ip6FragmentMask),
		more:   w&ip6MoreBit != 0,
		id:     binary.BigEndian.Uint32(b[4:]),
	}
}
