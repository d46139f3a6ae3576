package packet

// Malformed says why a frame cannot be what it claims to be; OK if nothing is
// wrong with it. Its String is the name of the counter that counts it.
type Malformed uint8

// What can be wrong with a frame.
const (
	// OK: the frame is well-formed.
	OK Malformed = iota
	// TruncatedEthernet: it ends within the Ethernet header or its VLAN tags.
	TruncatedEthernet
	// TruncatedIP: it ends within the IP header.
	TruncatedIP
	// BadVersion: the IP version is not what the EtherType says.
	BadVersion
	// BadHeaderLength: the IPv4 header is shorter than 20 bytes or longer than the packet.
	BadHeaderLength
	// TruncatedPacket: the frame is shorter than the IP packet says that it is.
	TruncatedPacket
	// Jumbogram: an IPv6 packet of more than 65535 bytes, by option (RFC 2675) or by its header.
	Jumbogram
	// BadAddress: an IPv6 packet with an IPv4-mapped address, which would pass
	// for an IPv4 one; Linux drops those too (ip6_rcv_core).
	BadAddress
	// TruncatedExtension: the packet ends within an IPv6 extension header.
	TruncatedExtension
	// TooManyExtensions: more than MaxExtensions extension headers.
	TooManyExtensions
	// BadFragment: it would end beyond byte 65535 of its packet, overlaps the TCP
	// header of the first one (RFC 1858, 3; RFC 3128), or is a fragment of a fragment.
	BadFragment
	// TruncatedTransport: the packet ends within the TCP, UDP or SCTP header (SCTP:
	// and the first chunk's), be it whole or the first fragment (RFC 7112, RFC 1858).
	TruncatedTransport
	// BadDataOffset: the TCP header is shorter than 20 bytes or longer than the packet.
	BadDataOffset
	// BadUDPLength: the UDP length is less than 8 or more than the packet has.
	BadUDPLength
	// TruncatedICMP: the packet ends within the ICMP header, or an ICMP error
	// does not hold the header and the ports of the packet that it is about.
	TruncatedICMP
	// BadEmbedded: what an ICMP error is about is no IP packet.
	BadEmbedded

	// Malformations is how many values there are, OK included: the length of an
	// array of counters.
	Malformations = int(iota)
)

var malformedNames = [Malformations]string{
	OK:                 "ok",
	TruncatedEthernet:  "truncated_ethernet",
	TruncatedIP:        "truncated_ip",
	BadVersion:         "bad_version",
	BadHeaderLength:    "bad_header_length",
	TruncatedPacket:    "truncated_packet",
	Jumbogram:          "jumbogram",
	BadAddress:         "bad_address",
	TruncatedExtension: "truncated_extension",
	TooManyExtensions:  "too_many_extensions",
	BadFragment:        "bad_fragment",
	TruncatedTransport: "truncated_transport",
	BadDataOffset:      "bad_data_offset",
	BadUDPLength:       "bad_udp_length",
	TruncatedICMP:      "truncated_icmp",
	BadEmbedded:        "bad_embedded",
}

// String is the counter's name.
func (m Malformed) String() string {
	if int(m) < Malformations {
		return malformedNames[m]
	}
	return "unknown"
}
