package packet

// Parsed is what Parse found in a frame, one cache line of it. Offsets are in
// bytes from the frame's first byte. A field says when it is valid; otherwise
// it is zero.
type Parsed struct {
	// Tuple is valid for every Kind but KindOther. For KindError it is the
	// tuple of the flow that the ICMP error is about, client -> virtual address:
	// the packet inside, reversed. Its ports are 0 for KindFragment, and so is
	// its protocol if an IPv6 extension header follows the fragment header: only
	// the first fragment tells then.
	Tuple Tuple

	// FragmentID is the IPv4 identification or the one in the IPv6 fragment
	// header. Valid for KindFirst and KindFragment.
	FragmentID uint32

	// L3 and L4 are the offsets of the IP header and of what follows it and its
	// options or extension headers. L3 is valid for IP packets, L4 if Kind is not
	// KindOther.
	L3, L4 uint16
	// Len is the length of the IP packet in bytes, header included, as the
	// packet itself says it; Parse has checked that the frame holds it all, and
	// that L3+Len is 65535 at most. Valid for IP packets.
	Len uint16

	// VLAN is the outermost tag's identifier (1-4094), 0 without a tag or with a
	// tag for priority only.
	VLAN uint16
	// Tags is how many VLAN tags precede the IP header (0-2).
	Tags uint8

	Kind Kind

	// DSCP is the differentiated services code point (0-63). Valid for IP packets.
	DSCP uint8
	// TTL is the IPv4 TTL or the IPv6 hop limit. Valid for IP packets.
	TTL uint8
	// Flags are the TCP flags (RFC 9293, 3.1). For SCTP they are the first chunk's
	// type, or ChunkAbort if an ABORT follows a COOKIE ECHO or COOKIE ACK (see
	// SCTPHeader.Chunk); of a first fragment, as far as it has them. Valid for
	// KindFlow and KindFirst.
	Flags uint8
}

// Kind says what sort of packet it is to a balancer.
type Kind uint8

// The kinds of packet.
const (
	// KindOther: not IP, or a protocol without ports. A balancer has no use for it.
	KindOther Kind = iota
	// KindFlow: a whole TCP, UDP or SCTP packet.
	KindFlow
	// KindFirst: the first fragment of one; its ports are known.
	KindFirst
	// KindFragment: a later fragment; its ports are not known.
	KindFragment
	// KindError: an ICMP or ICMPv6 error about a TCP, UDP or SCTP packet.
	KindError
)

var kindNames = [...]string{"other", "flow", "first fragment", "fragment", "icmp error"}

// String names the kind for people.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// TCP flags (RFC 9293, 3.1), as in Parsed.Flags.
const (
	FIN uint8 = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)
