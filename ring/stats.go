package ring

import (
	"sync/atomic"
)

// counter has one writer, the worker; anyone reads it.
type counter struct{ v atomic.Uint64 }

func (c *counter) add(n uint64) { c.v.Add(n) }
func (c *counter) load() uint64 { return c.v.Load() }

// counters are our own, those of the kernel come with XDP_STATISTICS. They are
// written once per batch.
type counters struct {
	received, transmitted, completed counter
	kicks, kicksSuppressed, txBusy   counter
	wakeups, polls                   counter
	txFull                           counter
	foreign                          counter
}

// Stats counts since Open. Frames, unless it says otherwise.
type Stats struct {
	Received    uint64 // handed to the caller by Receive
	Transmitted uint64 // taken from the caller by Transmit
	Completed   uint64 // that the kernel gave back after transmission
	TXFull      uint64 // that Transmit did not take because the TX ring was full
	Foreign     uint64 // descriptors from the kernel for frames that it did not have: a kernel or driver bug

	Kicks           uint64 // system calls to transmit
	KicksSuppressed uint64 // batches that needed none, the driver being at work
	TXBusy          uint64 // kicks that left descriptors behind
	Wakeups         uint64 // system calls to make the driver look at the fill ring
	Polls           uint64 // system calls of busy polling before a sleep

	// XDP_STATISTICS of the kernel.
	RXDropped     uint64 // no frame on the fill ring (copy modes), or too long for a frame
	RXInvalid     uint64 // bad addresses on the fill ring
	RXRingFull    uint64 // no room on the RX ring
	FillRingEmpty uint64 // times that the fill ring was found empty
	TXInvalid     uint64 // bad descriptors on the TX ring
	TXRingEmpty   uint64 // times that the TX ring was found empty
}

// Stats reads the counters. Any goroutine may call it, also during and after
// Close; the kernel's figures stay as Close found them.
func (s *Socket) Stats() Stats {
	c := &s.counters
	stats := Stats{
		Received:        c.received.load(),
		Transmitted:     c.transmitted.load(),
		Completed:       c.completed.load(),
		TXFull:          c.txFull.load(),
		Foreign:         c.foreign.load(),
		Kicks:           c.kicks.load(),
		KicksSuppressed: c.kicksSuppressed.load(),
		TXBusy:          c.txBusy.load(),
		Wakeups:         c.wakeups.load(),
		Polls:           c.polls.load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readKernelLocked()
	k := &s.kernelStats
	stats.RXDropped, stats.RXInvalid = k.Rx_dropped, k.Rx_invalid_descs
	stats.RXRingFull, stats.FillRingEmpty = k.Rx_ring_full, k.Rx_fill_ring_empty_descs
	stats.TXInvalid, stats.TXRingEmpty = k.Tx_invalid_descs, k.Tx_ring_empty_descs
	return stats
}

// readKernelLocked refreshes the kernel's figures while there is a socket to
// ask. The caller holds s.mu, so that the descriptor is not closed, and its
// number not given to another file, meanwhile.
func (s *Socket) readKernelLocked() {
	if s.closed {
		return
	}
	if stats, err := s.umem.kernel.Statistics(s.fd); err == nil {
		s.kernelStats = stats
	}
}
