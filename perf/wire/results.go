package wire

import (
	"math"
	"slices"
	"time"

	"github.com/xlvs/xlvs/perf/measure"
	"github.com/xlvs/xlvs/perf/result"
)

// limit is the opponent that ratios are to.
const limit = "xdp-tx"

// results is what the rounds come to: medians, and the rounds beside them.
func (r *runner) results() *result.Wire {
	w := &result.Wire{Runs: []result.WireRun{}, Interfaces: r.o.interfaces()}
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

// interfaces are those that the opponents were put on: one of the host, or one end of
// a veth pair that was made for each of them.
func (o *Options) interfaces() []result.Interface {
	if o.Interface != "" {
		return []result.Interface{measure.Interface(o.Interface)}
	}
	return []result.Interface{{Name: farDevice, Driver: "veth", Queues: slices.Max(o.Queues), MTU: 1500}}
}

func (s *seat) result(o *Options) result.WireRun {
	run := result.WireRun{Name: s.opponent.name, Queues: s.queues, Size: o.Size, Flows: o.Flows, Mode: s.mode, Skipped: s.skipped, Failed: s.failed}
	var offered, lossFree, fresh, cpu result.Rounds
	for _, m := range s.measured {
		if m == nil {
			continue
		}
		run.Rounds = append(run.Rounds, mega(m.throughput.bestSecond))
		if m.throughput.elapsed > 0 { // on a real interface another box offers
			offered = append(offered, mega(m.throughput.offered()))
		}
		run.Lost += m.throughput.sent - min(m.throughput.received, m.throughput.sent)
		run.Duplicates += m.throughput.duplicates
		cpu = append(cpu, float64(m.cpu.Nanoseconds()))
		if len(m.trials) > 0 {
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

// addLatencies puts in the delays at each load.
func (s *seat) addLatencies(run *result.WireRun, o *Options) {
	for i, load := range o.Loads {
		all := newHistogram()
		var rate result.Rounds
		var p50, p90, p99, p999, most, balancer, generator result.Rounds
		var lost uint64
		var taken, elapsed time.Duration
		for _, m := range s.measured {
			if m == nil || i >= len(m.latencies) {
				continue
			}
			one := m.latencies[i]
			h := one.delays
			all.Merge(h)
			p := percentilesOf(h)
			p50, p90, p99 = append(p50, p.P50), append(p90, p.P90), append(p99, p.P99)
			p999, most = append(p999, p.P999), append(most, p.Max)
			rate = append(rate, mega(one.offered()))
			taken, elapsed = taken+one.stolen, elapsed+one.elapsed
			lost += one.sent - min(one.received, one.sent)
			balancer = append(balancer, one.waited.Seconds()/one.elapsed.Seconds())
			generator = append(generator, one.outcome.waited.Seconds()/one.elapsed.Seconds())
		}
		if all.TotalCount() == 0 {
			continue
		}
		l := result.Latency{OfferedMpps: rate.Median(), Load: load, Samples: all.TotalCount(), P999Rounds: p999, CDF: distributionOf(all), Tail: tailOf(all),
			Lost: lost, BalancerWaited: balancer.Median(), GeneratorWaited: generator.Median(), Stolen: taken.Seconds() / elapsed.Seconds()}
		l.Percentiles = result.Percentiles{P50: p50.Median(), P90: p90.Median(), P99: p99.Median(), P999: p999.Median(), Max: most.Max()}
		run.Latencies = append(run.Latencies, l)
	}
	half := math.Inf(1)
	for _, l := range run.Latencies {
		if distance := math.Abs(l.Load - 0.5); distance < half {
			half, run.Latency = distance, l.Percentiles
		}
	}
}
