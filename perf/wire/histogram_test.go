package wire

import (
	"math"
	"math/bits"
	"testing"

	"pgregory.net/rapid"
)

// bucketModel is what wire.c does, by other means.
func bucketModel(delay uint32) int {
	shift := max(bits.Len32(delay)-subBits-1, 0)
	return shift<<subBits + int(delay>>shift)
}

func TestBucketsCoverEveryDelayOnce(t *testing.T) {
	next := int64(0)
	for i := range buckets {
		low, width := bucketRange(i)
		if low != next {
			t.Fatalf("bucket %d begins at %d, the one before ends at %d", i, low, next-1)
		}
		next = low + width
	}
	if next != longestDelay+1 {
		t.Errorf("the last bucket ends at %d, want %d", next-1, int64(longestDelay))
	}
}

func TestBucketHoldsItsDelays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delay := rapid.Uint32().Draw(t, "delay")
		low, width := bucketRange(bucketModel(delay))
		if int64(delay) < low || int64(delay) >= low+width {
			t.Fatalf("%d is in the bucket of %d to %d", delay, low, low+width-1)
		}
	})
}

// TestHistogramKeepsPercentiles compares with the delays themselves, sorted by
// construction.
func TestHistogramKeepsPercentiles(t *testing.T) {
	counts := make([]uint64, buckets)
	const n = 100_000
	for i := range n {
		counts[bucketModel(uint32(1000+i*10))]++
	}
	h := histogramOf(counts)
	if h.TotalCount() != n {
		t.Fatalf("%d delays, want %d", h.TotalCount(), n)
	}
	p := percentilesOf(h)
	for _, c := range []struct{ got, want float64 }{
		{p.P50, 501}, {p.P90, 901}, {p.P99, 991}, {p.P999, 1000}, {p.Max, 1001},
	} {
		if math.Abs(c.got-c.want) > 0.01*c.want {
			t.Errorf("got %v us, want %v", c.got, c.want)
		}
	}
	last := 0.0
	for _, point := range distributionOf(h) {
		if point.Share < last || point.Share > 1 {
			t.Fatalf("share %v after %v", point.Share, last)
		}
		last = point.Share
	}
	if last != 1 {
		t.Errorf("the distribution ends at %v", last)
	}
}
