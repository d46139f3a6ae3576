package ring_test

import (
	"fmt"
	"testing"

	"github.com/xlvs/xlvs/ring"
)

// BenchmarkForward is what a frame costs in the rings: Receive, Transmit and
// Flush of a batch. One op is one frame. The stand-in's moving of descriptors
// is in it, under two nanoseconds a frame in large batches; there is no system call.
func BenchmarkForward(b *testing.B) {
	for _, size := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			bed := newBed(b, 1)
			s := bed.sockets[0]
			bed.nic.SetBare(true)
			batch := make([]ring.Desc, size)
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += size {
				bed.nic.DeliverBare(0, size, 64)
				if !forward(s, batch) {
					b.Fatal("frames are missing")
				}
			}
		})
	}
}

// forward is a worker's turn on one socket; it tells whether the batch was full.
func forward(s *ring.Socket, batch []ring.Desc) bool {
	n := s.Receive(batch)
	return s.Transmit(batch[:n]) == len(batch) && s.Flush() == nil
}

func TestForwardDoesNotAllocate(t *testing.T) {
	bed := newBed(t, 1)
	bed.nic.SetBare(true)
	batch := make([]ring.Desc, ringSize)
	if n := testing.AllocsPerRun(100, func() {
		bed.nic.DeliverBare(0, len(batch), 64)
		if !forward(bed.sockets[0], batch) {
			t.Fatal("frames are missing")
		}
	}); n != 0 {
		t.Errorf("%v allocations per batch", n)
	}
}
