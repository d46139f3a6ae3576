package packet

// Errors of ICMP (RFC 792) that IPVS looks into (ip_vs_in_icmp).
const (
	icmpUnreachable  = 3
	icmpSourceQuench = 4
	icmpTimeExceeded = 11
	icmpParameter    = 12
)

// Errors of ICMPv6 (RFC 4443): destination unreachable, packet too big, time
// exceeded, parameter problem.
const (
	icmp6FirstError = 1
	icmp6LastError  = 4
)

// embeddedTransport is how much of the transport header an ICMP error holds at
// least (RFC 792; RFC 4443 has more): the ports are within it.
const embeddedTransport = 8

// parseICMP parses an ICMP or ICMPv6 message that begins at offset l4 of the frame.
func parseICMP(message []byte, l4 int, protocol Protocol, p *Parsed) Malformed {
	if len(message) < ICMPLen {
		return TruncatedICMP
	}
	kind := ICMPHeader(message).Type()
	inner := message[ICMPLen:]
	var (
		t  Tuple
		ok bool
		m  Malformed
	)
	switch {
	case protocol == ICMP && isError4(kind):
		t, ok, m = embedded4(inner)
	case protocol == ICMPv6 && kind >= icmp6FirstError && kind <= icmp6LastError:
		t, ok, m = embedded6(inner)
	}
	if m != OK || !ok {
		return m
	}
	p.Tuple, p.Kind, p.L4 = t.Reverse(), KindError, uint16(l4)
	return OK
}

func isError4(kind uint8) bool {
	switch kind {
	case icmpUnreachable, icmpSourceQuench, icmpTimeExceeded, icmpParameter:
		return true
	}
	return false
}

// embedded4 reads the tuple of the IPv4 packet that an ICMP error is about. ok
// is false if it has none: another protocol, or a fragment that is not the
// first. Its total length is not checked, for the error need not hold it all; what it
// holds must not end beyond byte 65535.
func embedded4(b []byte) (t Tuple, ok bool, m Malformed) {
	if len(b) < IPv4Len {
		return t, false, TruncatedICMP
	}
	h := IPv4(b)
	if h.Version() != 4 || h.HeaderLen() < IPv4Len {
		return t, false, BadEmbedded
	}
	payload := len(b) - h.HeaderLen()
	switch {
	case payload < 0:
		return t, false, TruncatedICMP
	case h.FragmentOffset()+payload > 0xffff-h.HeaderLen():
		return t, false, BadEmbedded
	case h.FragmentOffset() > 0 || !hasPorts(h.Protocol()):
		return t, false, OK
	case payload < embeddedTransport:
		return t, false, TruncatedICMP
	}
	ports := Ports(b[h.HeaderLen():])
	return Tuple{h.Src(), h.Dst(), ports.Src(), ports.Dst(), h.Protocol()}, true, OK
}

// embedded6 is embedded4 for ICMPv6.
func embedded6(b []byte) (t Tuple, ok bool, m Malformed) {
	if len(b) < IPv6Len {
		return t, false, TruncatedICMP
	}
	h := IPv6(b)
	if h.Version() != 6 || h.Src().Is4() || h.Dst().Is4() {
		return t, false, BadEmbedded
	}
	c, m := walkExtensions(b, h.NextHeader())
	switch {
	case m == TruncatedExtension:
		return t, false, TruncatedICMP
	case m != OK:
		return t, false, BadEmbedded
	case c.fragment.offset > 0 || !hasPorts(c.protocol):
		return t, false, OK
	case len(b) < c.offset+embeddedTransport:
		return t, false, TruncatedICMP
	}
	ports := Ports(b[c.offset:])
	return Tuple{h.Src(), h.Dst(), ports.Src(), ports.Dst(), c.protocol}, true, OK
}

func hasPorts(p Protocol) bool { return p == TCP || p == UDP || p == SCTP }
