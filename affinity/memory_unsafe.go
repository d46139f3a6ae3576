package affinity

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// This is the only file of the package that imports unsafe. It turns the bytes
// that a caller provides into atomic words. What makes that sound:
//
//   - The bytes are aligned to a line (checked here), so every word is aligned.
//   - atomic.Uint64 and atomic.Uint32 are their bare words in memory (their other
//     fields have no size), and hold no pointer that a collector would look for.
//   - A view covers no more than its bytes, and keeps memory of Go's own heap
//     alive as any pointer does. Memory from mmap must stay mapped until the last
//     user of the Tables is gone; that is the caller's promise to Format and Attach.

// lineBytes is the size of a cache line and of an element of the BPF array.
const lineBytes = 64

// line is one cache line of words.
type line [lineBytes / 8]atomic.Uint64

// viewLines returns the whole lines of mem.
func viewLines(mem []byte) ([]line, error) {
	base := unsafe.Pointer(unsafe.SliceData(mem))
	if uintptr(base)%lineBytes != 0 {
		return nil, fmt.Errorf("memory at %p is not aligned to %d bytes", base, lineBytes)
	}
	return unsafe.Slice((*line)(base), len(mem)/lineBytes), nil
}

// viewBuckets returns lines as 32-bit words, n of them. lines must hold that
// many and is used as nothing else.
func viewBuckets(lines []line, n int) []atomic.Uint32 {
	if n > len(lines)*lineBytes/4 {
		panic("affinity: bucket words exceed their lines")
	}
	return unsafe.Slice((*atomic.Uint32)(unsafe.Pointer(unsafe.SliceData(lines))), n)
}
