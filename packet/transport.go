package packet

import "encoding/binary"

// Ports is a view of what TCP, UDP and SCTP headers begin with. It must hold
// four bytes.
type Ports []byte

// Src is the source port.
func (h Ports) Src() uint16 { return binary.BigEndian.Uint16(h) }

// Dst is the destination port.
func (h Ports) Dst() uint16 { return binary.BigEndian.Uint16(h[2:]) }

// TCPHeader is a view of a TCP header (RFC 9293, 3.1). It must hold TCPLen bytes.
type TCPHeader []byte

// TCPLen is the length of a TCP header without options, in bytes.
const TCPLen = 20

const (
	tcpSequence        = 4
	tcpAcknowledgement = 8
	tcpDataOffset      = 12
	tcpFlags           = 13
	tcpChecksum        = 16
)

// DataOffset is the header's length with its options, in bytes (a sound one has 20 to 60).
func (h TCPHeader) DataOffset() int { return int(h[tcpDataOffset]>>4) * 4 }

// Flags are the control bits from CWR down to FIN.
func (h TCPHeader) Flags() uint8 { return h[tcpFlags] }

// Checksum is the checksum over pseudo header, header and payload.
func (h TCPHeader) Checksum() uint16 { return binary.BigEndian.Uint16(h[tcpChecksum:]) }

// UDPHeader is a view of a UDP header (RFC 768). It must hold UDPLen bytes.
type UDPHeader []byte

// UDPLen is the length of a UDP header, in bytes.
const UDPLen = 8

const (
	udpLength   = 4
	udpChecksum = 6
)

// Length is the datagram's length with its header, in bytes.
func (h UDPHeader) Length() int { return int(binary.BigEndian.Uint16(h[udpLength:])) }

// Checksum is the checksum over pseudo header, header and payload; 0 is none
// (IPv4 only).
func (h UDPHeader) Checksum() uint16 { return binary.BigEndian.Uint16(h[udpChecksum:]) }

// SCTPHeader is a view of an SCTP common header and the chunks behind it (RFC
// 9260, 3.1 and 3.2). It must hold SCTPLen bytes.
type SCTPHeader []byte

// SCTPLen is the length of the common header and a chunk header, in bytes. A
// packet without a chunk is not valid.
const SCTPLen = 16

const (
	sctpChunk     = 12 // where the first one begins
	sctpChunkLen  = 4  // of a chunk's header
	chunkLength   = 2  // where a chunk has its length, header included
	chunkMultiple = 4  // chunks are padded to this
)

// SCTP chunk types (RFC 9260, 3.2), as in Parsed.Flags.
const (
	ChunkData uint8 = iota
	ChunkInit
	ChunkInitAck
	ChunkSack
	ChunkHeartbeat
	ChunkHeartbeatAck
	ChunkAbort
	ChunkShutdown
	ChunkShutdownAck
	ChunkError
	ChunkCookieEcho
	ChunkCookieAck
	ChunkECNE
	ChunkCWR
	ChunkShutdownComplete
)

// Chunk is the type of the chunk that tells what the packet means to its
// association: the first one's, but an ABORT right behind a COOKIE ECHO or a COOKIE
// ACK comes before it (ip_vs_proto_sctp.c, set_sctp_state). Whatever else is bundled
// with the first chunk does not count, as there.
func (h SCTPHeader) Chunk() uint8 {
	first := h[sctpChunk]
	if first != ChunkCookieEcho && first != ChunkCookieAck {
		return first
	}
	length := int(binary.BigEndian.Uint16(h[sctpChunk+chunkLength:]))
	next := sctpChunk + (length+chunkMultiple-1)&^(chunkMultiple-1)
	if length >= sctpChunkLen && next+sctpChunkLen <= len(h) && h[next] == ChunkAbort {
		return ChunkAbort
	}
	return first
}

// ICMPHeader is a view of an ICMP or ICMPv6 header (RFC 792, RFC 4443). It must
// hold ICMPLen bytes.
type ICMPHeader []byte

// ICMPLen is the length of an ICMP error's header, in bytes; the packet that
// it is about follows.
const ICMPLen = 8

const (
	icmpType     = 0
	icmpCode     = 1
	icmpChecksum = 2
	icmpRest     = 4
)

// Type is the message's type.
func (h ICMPHeader) Type() uint8 { return h[icmpType] }

// Code qualifies the type.
func (h ICMPHeader) Code() uint8 { return h[icmpCode] }

// Checksum is the message's checksum.
func (h ICMPHeader) Checksum() uint16 { return binary.BigEndian.Uint16(h[icmpChecksum:]) }
