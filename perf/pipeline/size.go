package pipeline

import (
	"fmt"
	"strconv"
)

// Bounds of a frame's length in bytes, without its checksum.
const (
	minSize = 64
	maxSize = 1514
)

// Size is the lengths of frames that follow each other.
type Size struct {
	name    string
	lengths []int // in bytes, from the Ethernet header to the end of the packet
}

// imix is the simple mix of the Internet: IP packets of 40, 576 and 1500 bytes as
// 7 to 4 to 1, the shorter ones between the longer.
var imix = Size{"imix", []int{64, 590, 64, 64, 590, 64, 1514, 64, 590, 64, 64, 590}}

// ParseSize reads a length in bytes, or imix.
func ParseSize(s string) (Size, error) {
	if s == imix.name {
		return imix, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < minSize || n > maxSize {
		return Size{}, fmt.Errorf("frame size %q: want imix or a number of bytes from %d to %d", s, minSize, maxSize)
	}
	return Size{s, []int{n}}, nil
}

// String is what ParseSize reads.
func (s Size) String() string { return s.name }

// nth is the length of the nth frame.
func (s Size) nth(n int) int { return s.lengths[n%len(s.lengths)] }
