package wire

import "github.com/xlvs/xlvs/perf/result"

// limit is the opponent that ratios are to.
const limit = "xdp-tx"

// results is what the rounds come to: medians, and the rounds beside them.
func (r *runner) results() *result.Wire {
	w := &result.Wire{Runs: []result.WireRun{}}
	for _, s := range r.seats {
		w.Runs = append(w.Runs, s.result(r.o))
	}
	for i := range w.Runs {
		for _, to := range w.Runs {
			if to.Name == limit && to.Queues == w.Runs[i].Queues {
				w.Runs[i].Ratio = result.Ratio(w.Runs[i].Rounds, to.Rounds).Median()
			}
		}
	}
	return w
}

func (s *seat) result(o *Options) result.WireRun {
	run := result.WireRun{Name: s.opponent.name, Queues: s.queues, Size: o.Size, Flows: o.Flows, Mode: s.mode, Skipped: s.skipped, Failed: s.failed}
	var offered, lossFree, fresh, cpu result.Rounds
	for _, m := range s.measured {
		if m == nil {
			continue
		}
		run.Rounds = append(run.Rounds, mega(m.throughput.bestSecond))
		offered = append(offered, mega(m.throughput.offered()))
		run.Lost += m.throughput.sent - min(m.throughput.received, m.throughput.sent)
		run.Duplicates += m.throughput.duplicates
		cpu = append(cpu, float64(m.cpu.Nanoseconds()))
		if m.lossFree > 0 {
			lossFree = append(lossFree, mega(m.lossFree))
		}
		run.Trials = append(run.Trials, m.trials...)
		if m.fresh != nil {
			fresh = append(fresh, m.fresh.bestSecond)
		}
	}
	run.Mpps, run.OfferedMpps = run.Rounds.Median(), offered.Median()
	run.Spread, run.Noisy = run.Rounds.Spread(), run.Rounds.Noisy()
	run.MppsLossFree, run.LossFreeRounds = lossFree.Median(), lossFree
	run.ConnectionsPerSecond, run.CPUNsPerPacket = fresh.Median(), cpu.Median()
	s.addLatencies(&run, o)
	return run
}

// addLatencies puts in the delays at each load: percentiles are the medians of the
// rounds' percentiles, the distribution is of all frames of all rounds.
func (s *seat) addLatencies(run *result.WireRun, o *Options) {
	for i, load := range o.Loads {
		all := newHistogram()
		var rate result.Rounds
		var p50, p90, p99, p999, most result.Rounds
		for _, m := range s.measured {
			if m == nil || i >= len(m.latencies) {
				continue
			}
			h := m.latencies[i].delays
			all.Merge(h)
			p := percentilesOf(h)
			p50, p90, p99 = append(p50, p.P50), append(p90, p.P90), append(p99, p.P99)
			p999, most = append(p999, p.P999), append(most, p.Max)
			rate = append(rate, mega(m.latencies[i].offered()))
		}
		if all.TotalCount() == 0 {
			continue
		}
		l := result.Latency{OfferedMpps: rate.Median(), Load: load, Samples: all.TotalCount(), CDF: distributionOf(all)}
		l.Percentiles = result.Percentiles{P50: p50.Median(), P90: p90.Median(), P99: p99.Median(), P999: p999.Median(), Max: most.Max()}
		run.Latencies = append(run.Latencies, l)
	}
	if len(run.Latencies) > 0 {
		run.Latency = run.Latencies[0].Percentiles
	}
}
