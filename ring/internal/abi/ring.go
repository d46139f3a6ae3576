package abi

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Desc is struct xdp_desc of linux/if_xdp.h: an entry of the RX and TX rings.
// The entries of the fill and completion rings are bare addresses (uint64).
type Desc struct {
	Addr    uint64 // offset of the first byte from the start of the UMEM
	Len     uint32 // bytes
	Options uint32 // XDP_PKT_CONTD, XDP_TX_METADATA; 0 here
}

// An AF_XDP ring is an array of a power of two of entries and two free-running
// 32-bit indices in shared memory. One side only writes the producer index,
// the other only the consumer index; their difference is the number of entries
// that are filled, and it is right across the wrap at 2^32.
//
//	consumer          producer
//	   v                 v
//	---[ filled entries  ]---- room ----
//
// Producer and Consumer are the two ends. User space produces into the fill
// and TX rings and consumes the RX and completion rings, the kernel (or a
// test's stand-in for it) has the other ends. Each end caches the index of its
// peer and reads the shared word again only when the cached one is not enough,
// so that a batch costs at most one load and one store of contended lines.
//
// Go's atomics are sequentially consistent: the entries written before
// Publish are seen by who sees the new index (the kernel's smp_store_release
// and smp_load_acquire in net/xdp/xsk_queue.h are the other half), and the
// store of an index is ordered before the load of the flags that follows it,
// which need-wakeup relies on.

// Producer is the end of a ring that fills entries.
type Producer[T any] struct {
	entries []T
	mask    uint32

	producer *atomic.Uint32 // shared; written by this end only
	consumer *atomic.Uint32 // shared; written by the other end only
	flags    *atomic.Uint32 // shared; written by the kernel only

	next  uint32 // our index: the next entry to fill
	taken uint32 // the peer's index as last read
}

// Size is the number of entries of the ring.
func (p *Producer[T]) Size() uint32 { return uint32(len(p.entries)) }

// Reserve tells how many entries, at most n, can be filled now. It reserves
// nothing that would have to be given back: only Publish moves the ring.
func (p *Producer[T]) Reserve(n uint32) uint32 {
	room := p.room()
	if room < n {
		p.taken = p.consumer.Load()
		room = p.room()
	}
	return min(n, room)
}

// room is 0 too when the peer's index makes no sense: ahead of ours, or more
// than a ring behind it.
func (p *Producer[T]) room() uint32 {
	if outstanding := p.next - p.taken; outstanding < p.Size() {
		return p.Size() - outstanding
	}
	return 0
}

// Set fills the i-th entry after those published; i is below what Reserve gave.
func (p *Producer[T]) Set(i uint32, v T) { p.entries[(p.next+i)&p.mask] = v }

// Publish hands the first n entries after those published to the other end.
func (p *Producer[T]) Publish(n uint32) {
	p.next += n
	p.producer.Store(p.next)
}

// Outstanding is the number of published entries that the other end has not
// taken yet. It reads the shared index.
func (p *Producer[T]) Outstanding() uint32 {
	p.taken = p.consumer.Load()
	return p.next - p.taken
}

// NeedWakeup tells whether the kernel asks for a system call to look at the ring.
func (p *Producer[T]) NeedWakeup() bool { return p.flags.Load()&unix.XDP_RING_NEED_WAKEUP != 0 }

// Consumer is the end of a ring that takes entries.
type Consumer[T any] struct {
	entries []T
	mask    uint32

	producer *atomic.Uint32 // shared; written by the other end only
	consumer *atomic.Uint32 // shared; written by this end only
	flags    *atomic.Uint32 // shared; written by the kernel only

	next   uint32 // our index: the next entry to take
	filled uint32 // the peer's index as last read
}

// Size is the number of entries of the ring.
func (c *Consumer[T]) Size() uint32 { return uint32(len(c.entries)) }

// Ready tells how many entries, at most n, can be taken now.
func (c *Consumer[T]) Ready(n uint32) uint32 {
	have := c.filled - c.next
	if have < n {
		c.filled = c.producer.Load()
		have = c.filled - c.next
		if have > c.Size() { // the peer's index makes no sense
			c.filled = c.next
			return 0
		}
	}
	return min(n, have)
}

// At is the i-th entry to take; i is below what Ready gave.
func (c *Consumer[T]) At(i uint32) T { return c.entries[(c.next+i)&c.mask] }

// Release gives the first n entries back to the other end for reuse.
func (c *Consumer[T]) Release(n uint32) {
	c.next += n
	c.consumer.Store(c.next)
}

// SetNeedWakeup is for the kernel's stand-in only: the kernel writes the flags.
func (c *Consumer[T]) SetNeedWakeup(on bool) {
	if on {
		c.flags.Store(unix.XDP_RING_NEED_WAKEUP)
	} else {
		c.flags.Store(0)
	}
}
