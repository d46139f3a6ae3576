package dataplane

import (
	"encoding/binary"

	"github.com/xlvs/xlvs/packet"
)

// Of an SCTP chunk (RFC 9260, 3.2).
const (
	chunkHeader = 4
	chunkAlign  = 4
	// reflected is the T bit: the verification tag is the receiver's own.
	reflected = 1
)

// abort answers an SCTP packet that belongs to no association, "out of the blue" (RFC
// 9260, 8.4): with an ABORT, or with a SHUTDOWN COMPLETE if that is all that its sender
// waits for. What the RFC wants discarded is not answered, nor is a packet with a wrong
// checksum or one that is not all there.
func abort(frame *Frame, p *packet.Parsed, _ *about) bool {
	if p.Kind != packet.KindFlow {
		return false
	}
	b := packet.SCTPHeader(frame.Bytes()[p.L4 : p.L3+p.Len])
	if b.Checksum() != packet.SCTPChecksum(b) {
		return false
	}
	kind, flags, tag := uint8(packet.ChunkAbort), uint8(reflected), b.Tag()
	switch first := b[packet.SCTPCommonLen]; {
	case !mayAbort(b):
		return false
	case first == packet.ChunkInit:
		if tag, flags = initiateTag(b), 0; tag == 0 {
			return false
		}
	case first == packet.ChunkShutdownAck:
		kind = packet.ChunkShutdownComplete
	}
	h := packet.SCTPHeader(reply(frame, p, packet.SCTPLen))
	h.PutCommon(p.Tuple.DstPort, p.Tuple.SrcPort, tag)
	chunk := h[packet.SCTPCommonLen:]
	chunk[0], chunk[1] = kind, flags
	binary.BigEndian.PutUint16(chunk[2:], chunkHeader)
	h.SetChecksum()
	return true
}

// mayAbort tells whether none of a packet's chunks forbids an answer (RFC 9260, 8.4, rules
// 2, 6 and 7).
func mayAbort(b []byte) bool {
	for c := b[packet.SCTPCommonLen:]; len(c) >= chunkHeader; c = behind(c) {
		switch c[0] {
		case packet.ChunkAbort, packet.ChunkShutdownComplete, packet.ChunkCookieAck:
			return false
		case packet.ChunkError:
			if isStaleCookie(c) {
				return false
			}
		}
	}
	return true
}

// behind is what follows a chunk, or a cause within an ERROR: both begin with two bytes of
// their own and a length. It is nothing where the length is none.
func behind(c []byte) []byte {
	n := int(binary.BigEndian.Uint16(c[2:]))
	if n < chunkHeader {
		return nil
	}
	return c[min(len(c), (n+chunkAlign-1)&^(chunkAlign-1)):]
}

// isStaleCookie tells whether an ERROR says that a cookie came too late (RFC 9260, 3.3.10.3).
func isStaleCookie(c []byte) bool {
	const staleCookie = 3
	end := min(len(c), int(binary.BigEndian.Uint16(c[2:])))
	for cause := c[chunkHeader:max(chunkHeader, end)]; len(cause) >= chunkHeader; cause = behind(cause) {
		if binary.BigEndian.Uint16(cause) == staleCookie {
			return true
		}
	}
	return false
}

// initiateTag is the tag by which the sender of an INIT wants to be addressed, 0 if it
// tells none, or has one already (RFC 9260, 3.3.2).
func initiateTag(b packet.SCTPHeader) uint32 {
	const at = packet.SCTPCommonLen + chunkHeader
	if b.Tag() != 0 || len(b) < at+4 {
		return 0
	}
	return binary.BigEndian.Uint32(b[at:])
}
