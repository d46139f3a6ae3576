package control

import (
	"math"
	"testing"
	"time"
)

// TestEstimatorApproachesTheRate: at a constant 1000 a second the average closes
// a quarter of the gap each period (ip_vs_est.c).
func TestEstimatorApproachesTheRate(t *testing.T) {
	var e estimator
	var now Traffic
	want := 0.0
	for range 20 {
		now.Packets += 2000
		want += (1000 - want) / 4
		e.update(now, 2*time.Second)
		if math.Abs(e.rate.Packets-want) > 1e-9 {
			t.Fatalf("rate %v, want %v", e.rate.Packets, want)
		}
	}
	if e.rate.Packets < 990 {
		t.Errorf("rate %v after 20 periods, want about 1000", e.rate.Packets)
	}
	if e.rate.Bytes != 0 {
		t.Errorf("bytes rate %v, want 0", e.rate.Bytes)
	}
}
