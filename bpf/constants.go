package bpf

import (
	"encoding/binary"

	"github.com/cilium/ebpf"
)

// constantMark is the upper half of the numbers that stand in the program for what is known
// when it is loaded; the lower half says what (CONSTANT of tables.h).
const constantMark = 0x786c7673 // "xlvs"

// What a constant is; the secret's words are those below constantFirst, by number, and the
// others end with the number of the table.
const (
	constantFirst   = 0x10
	constantBuckets = 0x20
	constantWords   = 0x30
)

// Where the header of the tables has the numbers (affinity/layout.go).
const (
	headerSecret   = 1 * tableCell
	headerSections = 3 * tableCell
)

// setConstants puts the numbers of formatted tables into the program's instructions, zeros
// if there are none.
func setConstants(spec *ebpf.CollectionSpec, header []byte) {
	code := spec.Programs[steerProgXlvsSteer].Instructions
	for i := range code {
		ins := &code[i]
		if ins.OpCode.IsDWordLoad() && ins.Constant>>32 == constantMark && !ins.IsLoadFromMap() {
			ins.Constant = constant(int(uint32(ins.Constant)), header)
		}
	}
}

// constant is the number that n stands for.
func constant(n int, header []byte) int64 {
	if header == nil {
		return 0
	}
	word := func(at int) uint64 { return binary.NativeEndian.Uint64(header[at:]) }
	section, table := headerSections, n%constantFirst
	switch n / constantFirst * constantFirst {
	case constantFirst:
		return int64(uint32(word(section + 16*table)))
	case constantBuckets:
		return int64(word(section+16*table) >> 32)
	case constantWords:
		return int64(uint32(word(section + 16*table + 8)))
	}
	return int64(word(headerSecret + 8*n))
}
