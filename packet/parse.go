package packet

import "encoding/binary"

// MaxFrame is how long a frame may be, in bytes: offsets, and the end of the
// packet, fit in 16 bits. AF_XDP's frames are a page at most.
const MaxFrame = 0xffff

// Parse reads the headers of an Ethernet frame into p. It looks behind up to
// two VLAN tags, IPv4 options and up to MaxExtensions IPv6 extension headers,
// and within ICMP errors. All of p is overwritten. It returns OK, or what is
// wrong with the frame; p.Kind is then KindOther and the rest of p is as far as
// Parse came. Of a frame longer than MaxFrame, it sees as much.
//
// Every length that a header tells is checked against what holds it. What
// follows the IP packet in the frame (padding, the frame check sequence) is not
// looked at. Checksums are not verified: that is for the receiving host, and a
// frame from a veth or tap peer need not have one (CHECKSUM_PARTIAL).
func Parse(frame []byte, p *Parsed) Malformed {
	if len(frame) > MaxFrame {
		frame = frame[:MaxFrame]
	}
	if len(frame) >= EthernetLen+IPv4Len {
		switch start := binary.BigEndian.Uint32(frame[etherType:]); {
		case start>>8 == uint32(EtherTypeIPv4)<<8|0x45:
			if plain4(frame[EthernetLen:], p) {
				return OK
			}
		case start>>12 == uint32(EtherTypeIPv6)<<4|6:
			if plain6(frame[EthernetLen:], p) {
				return OK
			}
		}
	}
	*p = Parsed{}
	return parseAny(frame, p)
}

// parseAny is Parse for a zero p, without the shortcuts.
func parseAny(frame []byte, p *Parsed) Malformed {
	if len(frame) < EthernetLen {
		return TruncatedEthernet
	}
	l3, kind := EthernetLen, Ethernet(frame).Type()
	for kind.IsTag() && p.Tags < maxTags {
		if len(frame) < l3+VLANTagLen {
			return TruncatedEthernet
		}
		tag := binary.BigEndian.Uint32(frame[l3:]) // tag control information, EtherType
		if p.Tags == 0 {
			p.VLAN = uint16(tag>>16) & vlanIDMask
		}
		kind = EtherType(tag)
		p.Tags++
		l3 += VLANTagLen
	}
	switch kind {
	case EtherTypeIPv4:
		p.L3 = uint16(l3)
		return parse4(frame[l3:], p)
	case EtherTypeIPv6:
		p.L3 = uint16(l3)
		return parse6(frame[l3:], p)
	}
	return OK
}

// parse4 parses an IPv4 packet and what may follow it in the frame.
func parse4(b []byte, p *Parsed) Malformed {
	if len(b) < IPv4Len {
		return TruncatedIP
	}
	h := IPv4(b)
	header, total := h.HeaderLen(), h.TotalLength()
	switch {
	case h.Version() != 4:
		return BadVersion
	case header < IPv4Len || total < header:
		return BadHeaderLength
	case len(b) < total:
		return TruncatedPacket
	}
	p.Len, p.DSCP, p.TTL = uint16(total), h.DSCP(), h.TTL()

	t := Tuple{Src: h.Src(), Dst: h.Dst(), Protocol: h.Protocol()}
	payload := b[header:total]
	f := fragment{offset: h.FragmentOffset(), more: h.MoreFragments(), id: uint32(h.ID())}
	if f.offset+len(payload) > 0xffff-header {
		return BadFragment
	}
	return parseTransport(payload, int(p.L3)+header, t, f, p)
}

// fragment is what a packet says about being one.
type fragment struct {
	offset int // in bytes
	more   bool
	id     uint32
}

// parseTransport parses the payload of an IP packet, which begins at offset l4
// of the frame. Of t, the ports are missing.
func parseTransport(payload []byte, l4 int, t Tuple, f fragment, p *Parsed) Malformed {
	kind := KindFlow
	switch {
	case f.offset > 0:
		return parseFragment(l4, t, f, p)
	case f.more:
		kind = KindFirst
	}
	flags, m := uint8(0), OK
	switch t.Protocol {
	case TCP:
		flags, m = checkTCP(payload, kind)
	case UDP:
		m = checkUDP(payload, kind)
	case SCTP:
		flags, m = checkSCTP(payload)
	case ICMP, ICMPv6:
		if kind == KindFlow && (t.Protocol == ICMP) == t.Src.Is4() {
			return parseICMP(payload, l4, t.Protocol, p)
		}
		return OK
	default:
		return OK
	}
	if m != OK {
		return m
	}
	t.SrcPort, t.DstPort = Ports(payload).Src(), Ports(payload).Dst()
	p.Tuple, p.Kind, p.L4, p.Flags = t, kind, uint16(l4), flags
	if kind == KindFirst {
		p.FragmentID = f.id
	}
	return OK
}

// parseFragment is parseTransport for a fragment that is not the first.
func parseFragment(l4 int, t Tuple, f fragment, p *Parsed) Malformed {
	switch t.Protocol {
	case TCP:
		if f.offset < TCPLen {
			return BadFragment
		}
	case UDP, SCTP:
	default:
		if t.Src.Is4() || !isExtension(t.Protocol) {
			return OK
		}
		t.Protocol = 0
	}
	p.Tuple, p.Kind, p.L4, p.FragmentID = t, KindFragment, uint16(l4), f.id
	return OK
}

func checkTCP(b []byte, kind Kind) (flags uint8, m Malformed) {
	if len(b) < TCPLen {
		return 0, TruncatedTransport
	}
	h := TCPHeader(b)
	// A first fragment may end within the options (RFC 791: 8 bytes are enough).
	if o := h.DataOffset(); o < TCPLen || o > len(b) && kind == KindFlow {
		return 0, BadDataOffset
	}
	return h.Flags(), OK
}

func checkUDP(b []byte, kind Kind) Malformed {
	if len(b) < UDPLen {
		return TruncatedTransport
	}
	// Less than the packet has is fine: the rest is padding (udp_rcv trims it).
	if n := UDPHeader(b).Length(); n < UDPLen || n > len(b) && kind == KindFlow {
		return BadUDPLength
	}
	return OK
}

func checkSCTP(b []byte) (chunk uint8, m Malformed) {
	if len(b) < SCTPLen {
		return 0, TruncatedTransport
	}
	return SCTPHeader(b).Chunk(), OK
}
