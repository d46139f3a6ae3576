package bpf

import (
	"sync/atomic"
	"unsafe"
)

// recordView is a record in the memory that the program reads.
type recordView [recordWords]atomic.Uint64

// viewRecords lays records over mapped memory, which is aligned to a page.
func viewRecords(b []byte) []recordView {
	first := (*recordView)(unsafe.Pointer(unsafe.SliceData(b)))
	return unsafe.Slice(first, len(b)/int(unsafe.Sizeof(recordView{})))
}
