package wire

import (
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/xlvs/xlvs/perf/result"
)

// The sink counts delays in buckets, as wire.c lays them out: those below
// 2*subBuckets ns are exact, above each power of two is cut into subBuckets.
const (
	subBits    = 6
	subBuckets = 1 << subBits
	buckets    = (32 - subBits + 1) << subBits
)

// bucketRange is the delays that a bucket counts: low to low+width-1, in ns.
func bucketRange(i int) (low, width int64) {
	if i < 2*subBuckets {
		return int64(i), 1
	}
	shift := i>>subBits - 1
	return int64(subBuckets+i&(subBuckets-1)) << shift, 1 << shift
}

// longestDelay is what 32 bits of nanoseconds hold.
const longestDelay = 1<<32 - 1

// newHistogram is for delays in nanoseconds, to three digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestDelay, 3) }

// histogramOf converts the sink's counts. A delay stands in the middle of its
// bucket, at most 0.8 % off.
func histogramOf(counts []uint64) *hdrhistogram.Histogram {
	h := newHistogram()
	for i, n := range counts {
		if n == 0 {
			continue
		}
		low, width := bucketRange(i)
		_ = h.RecordValues(max(low+width/2, 1), int64(n)) // in range: see longestDelay
	}
	return h
}

// micros converts a histogram's nanoseconds.
func micros(ns int64) float64 { return float64(ns) / float64(time.Microsecond) }

// percentilesOf is a histogram in the shape of a result.
func percentilesOf(h *hdrhistogram.Histogram) result.Percentiles {
	return result.Percentiles{
		P50:  micros(h.ValueAtQuantile(50)),
		P90:  micros(h.ValueAtQuantile(90)),
		P99:  micros(h.ValueAtQuantile(99)),
		P999: micros(h.ValueAtQuantile(99.9)),
		Max:  micros(h.Max()),
	}
}

// distributionOf is the cumulative distribution of a histogram, a few hundred points.
func distributionOf(h *hdrhistogram.Histogram) []result.Point {
	var points []result.Point
	last := int64(-1)
	for _, b := range h.CumulativeDistributionWithTicks(20) {
		if b.ValueAt == last {
			continue
		}
		last = b.ValueAt
		points = append(points, result.Point{Us: micros(b.ValueAt), Share: b.Quantile / 100})
	}
	if n := len(points); n > 0 && points[n-1].Share < 1 {
		points = append(points, result.Point{Us: micros(h.Max()), Share: 1})
	}
	return points
}

// tailSteps is how many delays a tail has from one power of ten to the next.
const tailSteps = 20

// tailOf is the tail of a histogram.
func tailOf(h *hdrhistogram.Histogram) []result.Slower {
	bars := slices.DeleteFunc(h.Distribution(), func(b hdrhistogram.Bar) bool { return b.Count == 0 })
	if len(bars) == 0 {
		return nil
	}
	var tail []result.Slower
	add := func(us float64, frames int64) {
		if n := len(tail); n > 0 && tail[n-1].Frames == frames {
			tail = tail[:n-1] // no frame lies between
		}
		tail = append(tail, result.Slower{Us: us, Frames: frames})
	}
	at := func(step int) float64 { return math.Pow(10, float64(step)/tailSteps) } // microseconds
	step := int(math.Floor(tailSteps * math.Log10(micros(bars[0].From))))
	left := h.TotalCount()
	for _, bar := range bars {
		for ; at(step) <= micros(bar.To); step++ {
			add(at(step), left)
		}
		left -= bar.Count
	}
	add(micros(h.Max()), bars[len(bars)-1].Count)
	return tail
}
