package wire

import (
	"testing"
	"time"

	"github.com/xlvs/xlvs/perf/result"
)

// measured is a round with a loss-free rate, in millions, and one delay at each load.
func measured(lossFree float64, delays ...int64) *measurement {
	m := &measurement{throughput: &outcome{}, lossFree: lossFree * 1e6, trials: []result.Trial{{}}}
	for _, ns := range delays {
		h := newHistogram()
		_ = h.RecordValue(ns)
		m.latencies = append(m.latencies, latency{outcome: &outcome{sent: 1e6, elapsed: time.Second, delays: h}})
	}
	return m
}

func TestResultsOfRounds(t *testing.T) {
	o := &Options{Loads: []float64{0.1, 0.4, 0.9}, Queues: []int{1, 2}}
	s := &seat{queues: 1, measured: []*measurement{measured(3, 10_000, 20_000, 90_000), measured(0, 10_000, 30_000, 90_000), nil, measured(2, 10_000, 900_000, 90_000)}}
	r := (&runner{o: o, seats: []*seat{s}}).results()
	run := r.Runs[0]
	// A round that found no rate counts, one that was not measured does not.
	if got := run.LossFreeRounds; len(got) != 3 || got[1] != 0 || run.MppsLossFree != 2 {
		t.Errorf("loss-free %v of %v, want 2 of 3, 0 and 2", run.MppsLossFree, got)
	}
	if len(run.Latencies) != 3 || run.Latency != run.Latencies[1].Percentiles {
		t.Errorf("%+v is not at the load nearest to one half of %+v", run.Latency, run.Latencies)
	}
	l := run.Latencies[1]
	if l.P999 < 29.9 || l.P999 > 30.1 || l.Max < 899 || l.Max > 901 || len(l.P999Rounds) != 3 || l.Samples != 3 || l.SlowerThan(100) != 1 {
		t.Errorf("delays of 20, 30 and 900 us come to %+v", l)
	}
	if l.OfferedMpps != 1 || run.OfferedMpps != 0 {
		t.Errorf("offered %v and, where it is not known, %v", l.OfferedMpps, run.OfferedMpps)
	}
	if i := r.Interfaces; len(i) != 1 || i[0].Driver != "veth" || i[0].Queues != 2 {
		t.Errorf("interfaces %+v", i)
	}
}
