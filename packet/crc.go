package packet

import (
	"encoding/binary"
	"hash/crc32"
)

// castagnoli is the table of CRC32c, for which processors have an instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// SCTPCommonLen is the length of SCTP's common header, in bytes.
const SCTPCommonLen = 12

const (
	sctpTag      = 4
	sctpChecksum = 8
)

// zeros stands for the checksum field, which counts as zero.
var zeros [4]byte

// SCTPChecksum is the checksum of an SCTP packet, which is all of b and holds
// SCTPCommonLen bytes: CRC32c with the field zero (RFC 9260, 6.8 and appendix A). It
// is stored with its lowest byte first.
func SCTPChecksum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:sctpChecksum])
	sum = crc32.Update(sum, castagnoli, zeros[:])
	return crc32.Update(sum, castagnoli, b[SCTPCommonLen:])
}

// Checksum is the one that the packet has.
func (h SCTPHeader) Checksum() uint32 { return binary.LittleEndian.Uint32(h[sctpChecksum:]) }

// SetChecksum writes the checksum of a packet, which is all of h.
func (h SCTPHeader) SetChecksum() {
	binary.LittleEndian.PutUint32(h[sctpChecksum:], SCTPChecksum(h))
}

// Tag is the verification tag.
func (h SCTPHeader) Tag() uint32 { return binary.BigEndian.Uint32(h[sctpTag:]) }

// PutCommon writes the common header, without its checksum.
func (h SCTPHeader) PutCommon(src, dst uint16, tag uint32) {
	binary.BigEndian.PutUint16(h, src)
	binary.BigEndian.PutUint16(h[2:], dst)
	binary.BigEndian.PutUint32(h[sctpTag:], tag)
	binary.BigEndian.PutUint32(h[sctpChecksum:], 0)
}
