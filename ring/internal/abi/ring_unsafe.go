package abi

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The functions of this file lay a ring over memory that the kernel shares
// with us (or a test's, of the same layout). What can go wrong is an offset
// that points outside of the memory or is not aligned; both are checked once,
// here, and every later access is an ordinary one with a bounds check. The
// memory is not the garbage collector's: who unmaps it must drop the ring first.

// NewProducer lays the producing end of a ring of n entries, a power of two, over mem.
func NewProducer[T Desc | uint64](mem []byte, off unix.XDPRingOffset, n uint32) (Producer[T], error) {
	w, err := layout[T](mem, off, n)
	if err != nil {
		return Producer[T]{}, err
	}
	return Producer[T]{
		entries: w.entries, mask: n - 1,
		producer: w.producer, consumer: w.consumer, flags: w.flags,
		next: w.producer.Load(), taken: w.consumer.Load(),
	}, nil
}

// NewConsumer lays the consuming end of a ring of n entries, a power of two, over mem.
func NewConsumer[T Desc | uint64](mem []byte, off unix.XDPRingOffset, n uint32) (Consumer[T], error) {
	w, err := layout[T](mem, off, n)
	if err != nil {
		return Consumer[T]{}, err
	}
	return Consumer[T]{
		entries: w.entries, mask: n - 1,
		producer: w.producer, consumer: w.consumer, flags: w.flags,
		next: w.consumer.Load(), filled: w.consumer.Load(),
	}, nil
}

// RingBytes is how much memory a ring of n entries takes.
func RingBytes[T Desc | uint64](off unix.XDPRingOffset, n uint32) int {
	var entry T
	return int(off.Desc) + int(n)*int(unsafe.Sizeof(entry))
}

type words[T any] struct {
	producer, consumer, flags *atomic.Uint32
	entries                   []T
}

func layout[T Desc | uint64](mem []byte, off unix.XDPRingOffset, n uint32) (w words[T], err error) {
	if n == 0 || n&(n-1) != 0 {
		return w, fmt.Errorf("ring of %d entries: not a power of two", n)
	}
	for _, word := range []struct {
		at uint64
		to **atomic.Uint32
	}{{off.Producer, &w.producer}, {off.Consumer, &w.consumer}, {off.Flags, &w.flags}} {
		if word.at%4 != 0 || word.at+4 > uint64(len(mem)) {
			return w, fmt.Errorf("ring of %d bytes: index at offset %d", len(mem), word.at)
		}
		*word.to = (*atomic.Uint32)(unsafe.Pointer(&mem[word.at]))
	}
	if off.Desc%8 != 0 || uint64(len(mem)) < uint64(RingBytes[T](off, n)) {
		return w, fmt.Errorf("ring of %d bytes: %d entries at offset %d", len(mem), n, off.Desc)
	}
	w.entries = unsafe.Slice((*T)(unsafe.Pointer(&mem[off.Desc])), n)
	return w, nil
}
