package wire

import (
	"math"
	"math/bits"
	"testing"

	"pgregory.net/rapid"

	"github.com/xlvs/xlvs/perf/result"
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

// TestTailCounts compares a tail with the delays themselves, those within 1 % of a
// power of ten left out: they are on either side of it.
func TestTailCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delays := rapid.SliceOfN(rapid.Int64Range(1, longestDelay).Filter(func(ns int64) bool {
			power := math.Round(math.Log10(float64(ns)))
			return math.Abs(float64(ns)/math.Pow(10, power)-1) > 0.01
		}), 1, 50).Draw(t, "delays")
		h := newHistogram()
		for _, ns := range delays {
			if err := h.RecordValue(ns); err != nil {
				t.Fatal(err)
			}
		}
		l := result.Latency{Tail: tailOf(h)}
		for us := 0.001; us < 1e7; us *= 10 {
			want := int64(0)
			for _, ns := range delays {
				if micros(ns) >= us {
					want++
				}
			}
			if got := l.SlowerThan(us); got != want {
				t.Fatalf("%d frames took %v us, want %d of %v: %+v", got, us, want, delays, l.Tail)
			}
		}
		first, last := l.Tail[0], l.Tail[len(l.Tail)-1]
		if first.Frames != int64(len(delays)) || last.Us != micros(h.Max()) || last.Frames < 1 {
			t.Fatalf("from %+v to %+v, want all %d to the slowest", first, last, len(delays))
		}
		for i := 1; i < len(l.Tail); i++ {
			if l.Tail[i].Us <= l.Tail[i-1].Us || l.Tail[i].Frames >= l.Tail[i-1].Frames {
				t.Fatalf("%+v is behind %+v", l.Tail[i], l.Tail[i-1])
			}
		}
	})
	if tail := tailOf(newHistogram()); tail != nil {
		t.Errorf("nothing has the tail %v", tail)
	}
}
