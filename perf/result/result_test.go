package result

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRoundsByExample(t *testing.T) {
	r := Rounds{5, 1, 3, 2, 4}
	if r.Median() != 3 || r.Min() != 1 || r.Max() != 5 || r.Spread() != 2./3 || !r.Noisy() {
		t.Errorf("median %v, from %v to %v, spread %v", r.Median(), r.Min(), r.Max(), r.Spread())
	}
	if even := (Rounds{4, 2}); even.Median() != 3 {
		t.Errorf("the median of 4 and 2 is %v", even.Median())
	}
	for _, r := range []Rounds{nil, {7}, {0, 0}} {
		if r.Spread() != 0 || r.Noisy() {
			t.Errorf("%v has spread %v", r, r.Spread())
		}
	}
	if ratio := Ratio(Rounds{10, 30, 5, 1}, Rounds{5, 10, 0}); len(ratio) != 2 || ratio[0] != 2 || ratio[1] != 3 {
		t.Errorf("ratio %v", ratio)
	}
}

func TestRoundsKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rounds(rapid.SliceOfN(rapid.Float64Range(0.1, 1e6), 1, 20).Draw(t, "rounds"))
		before := append(Rounds(nil), r...)
		if m := r.Median(); m < r.Min() || m > r.Max() || r.Spread() < 0 || r.Spread() > (r.Max()-r.Min())/m+1e-9 {
			t.Fatalf("median %v of %v to %v, spread %v", m, r.Min(), r.Max(), r.Spread())
		}
		for i := range r {
			if math.Float64bits(r[i]) != math.Float64bits(before[i]) {
				t.Fatalf("round %d changed", i)
			}
		}
	})
}

// TestShapes holds what others read by name.
func TestShapes(t *testing.T) {
	for _, c := range []struct {
		value any
		keys  []string
	}{
		{Pipeline{}, []string{"flows", "ns_per_packet", "packets_per_second", "allocs_per_packet", "stages", "cases"}},
		{Table{Tables: []TableCase{{}}}, []string{"tables", "name", "entries", "lookup_ns", "insert_ns", "bytes_per_entry", "split_clients", "lost_entries"}},
		{Wire{Runs: []WireRun{{Skipped: "why"}}}, []string{"runs", "name", "mpps", "mpps_loss_free", "latency_us", "p50", "p99", "p999", "skipped"}},
		{Run{}, []string{"command", "started", "machine", "kernel", "cpu"}},
	} {
		b, err := json.Marshal(c.value)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range c.keys {
			if !strings.Contains(string(b), `"`+key+`":`) {
				t.Errorf("%T has no %s: %s", c.value, key, b)
			}
		}
	}
}
