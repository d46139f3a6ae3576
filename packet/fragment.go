package packet

import "encoding/binary"

// fragmentUnit is what the lengths of fragments are multiples of, the last one's but.
const fragmentUnit = 8

// IPv4's options (RFC 791, 3.1): their type's upper bit says whether each fragment
// has a copy.
const (
	optionEnd    = 0
	optionNoOp   = 1
	optionCopied = 0x80
)

// Cut is a long IPv4 packet on its way to become fragments (RFC 791, 3.2). The packet
// itself becomes the first one; it may be a fragment already.
type Cut struct {
	packet []byte // what is to be cut, from its IP header on
	header int
	next   int // of the payload, the byte that the next fragment begins with
	each   int // bytes of payload a fragment
	flags  uint16
	offset int // of the payload in the original packet
}

// NewCut prepares to cut a packet into fragments of at most mtu bytes, header
// included. packet is all of it, from its IP header on. It is false if no fragment
// could have any payload.
func NewCut(packet []byte, mtu int) (Cut, bool) {
	h := IPv4(packet)
	w := binary.BigEndian.Uint16(h[ip4Fragment:])
	c := Cut{
		packet: packet, header: h.HeaderLen(), each: (mtu - h.HeaderLen()) &^ (fragmentUnit - 1),
		flags: w &^ ip4FragmentMask, offset: h.FragmentOffset(),
	}
	c.next = c.each
	return c, c.each > 0
}

// Count is how many fragments there are in all.
func (c *Cut) Count() int { return (len(c.packet) - c.header + c.each - 1) / c.each }

// Next writes the fragment behind the last one into b, from its IP header on, and
// returns its length; 0 if there is none. b takes at least mtu bytes.
func (c *Cut) Next(b []byte) int {
	rest := c.packet[c.header:]
	if c.next >= len(rest) {
		return 0
	}
	header := c.copyHeader(b)
	n := copy(b[header:header+c.each], rest[c.next:])
	flags := c.flags
	if c.next+n < len(rest) {
		flags |= ip4MoreBit
	}
	IPv4(b).setFragment(header+n, flags, c.offset+c.next)
	c.next += n
	return header + n
}

// First makes the packet the first fragment and returns its length. Its bytes behind
// that still belong to the fragments that Next has yet to write.
func (c *Cut) First() int {
	n := min(c.header+c.each, len(c.packet))
	flags := c.flags
	if n < len(c.packet) {
		flags |= ip4MoreBit
	}
	IPv4(c.packet).setFragment(n, flags, c.offset)
	return n
}

// setFragment says of a packet which fragment it is, and how long.
func (h IPv4) setFragment(length int, flags uint16, offset int) {
	binary.BigEndian.PutUint16(h[ip4TotalLength:], uint16(length))
	binary.BigEndian.PutUint16(h[ip4Fragment:], flags|uint16(offset/fragmentUnit))
	h.SetChecksum()
}

// copyHeader writes the header of a later fragment, with those options that it is to
// have, and returns its length.
func (c *Cut) copyHeader(b []byte) int {
	copy(b, c.packet[:IPv4Len])
	n := IPv4Len
	for o := c.packet[IPv4Len:c.header]; len(o) > 0 && o[0] != optionEnd; {
		length := 1
		if o[0] != optionNoOp {
			if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
				break // no option: the rest says nothing
			}
			length = int(o[1])
		}
		if o[0]&optionCopied != 0 {
			n += copy(b[n:], o[:length])
		}
		o = o[length:]
	}
	for ; n%4 != 0; n++ {
		b[n] = optionEnd
	}
	b[ip4VersionIHL] = 4<<4 | uint8(n/4)
	return n
}
