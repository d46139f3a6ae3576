package report

import (
	"fmt"

	"github.com/xlvs/xlvs/perf/result"
)

// mostCards is how many balancers have a card.
const mostCards = 6

func (s *section) wire(found *result.Wire) {
	s.Title = "Frames through a wire"
	s.Lead = "A generator at one end, the balancer at the other, a sink that counts. Balancers take turns, round by round. " +
		"“of limit” is the median of the rounds’ ratios to XDP_TX, which does no work at all."
	for i := range found.Runs {
		r := &found.Runs[i]
		name := r.Name + " with " + queuesOf(r.Queues)
		switch {
		case r.Failed:
			s.Notes = append(s.Notes, name+" "+r.Skipped)
		case r.Skipped != "":
			s.Notes = append(s.Notes, name+" was skipped: "+r.Skipped)
		}
		if r.Mpps > 0 && len(s.Cards) < mostCards {
			s.Cards = append(s.Cards, card{mark(r.Noisy) + fmt.Sprintf("%.2f", r.Mpps), "Mpps", r.Name + ", " + queuesOf(r.Queues)})
		}
		if r.Noisy {
			s.noisy("throughput of "+name, r.Spread)
		}
		if r.LossFreeRounds.Noisy() {
			s.noisy("loss-free rate of "+name, r.LossFreeRounds.Spread())
		}
		if r.Duplicates > 0 {
			s.Notes = append(s.Notes, fmt.Sprintf("%s sent %d frames twice", name, r.Duplicates))
		}
	}
	s.Tables = []grid{throughputGrid(found.Runs)}
	if g := s.latencyGrid(found.Runs); len(g.Rows) > 0 {
		s.Tables = append(s.Tables, g)
	}
}

// throughputGrid has a row for each run of which there are figures.
func throughputGrid(runs []result.WireRun) grid {
	g := grid{Head: []string{"balancer", "queues", "Mpps", "slowest Mpps", "fastest Mpps", "of limit", "loss-free Mpps", "new/s", "CPU ns/packet", "mode"}}
	for i := range runs {
		r := &runs[i]
		if len(r.Rounds) == 0 {
			continue
		}
		g.Rows = append(g.Rows, []string{r.Name, fmt.Sprint(r.Queues), mark(r.Noisy) + fmt.Sprintf("%.3f", r.Mpps), fmt.Sprintf("%.3f", r.Rounds.Min()), fmt.Sprintf("%.3f", r.Rounds.Max()),
			optional("%.2f", r.Ratio), mark(r.LossFreeRounds.Noisy()) + optional("%.3f", r.MppsLossFree),
			optional("%.0f", r.ConnectionsPerSecond), optional("%.0f", r.CPUNsPerPacket), r.Mode})
	}
	return g
}

// latencyGrid has a row for each load of each run.
func (s *section) latencyGrid(runs []result.WireRun) grid {
	const pause = 1000 // microseconds
	g := grid{
		Caption: "How long packets took from when they were due, in microseconds. Percentiles are medians of the rounds, the slowest packet is of all of them. " +
			"Waited is the time that balancer or generator wanted their CPU while other programs had it, stolen what a hypervisor took from all processors together.",
		Head: []string{"balancer", "queues", "load %", "Mpps", "packets", "p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "least p99.9 µs", "most p99.9 µs",
			"slowest µs", "packets of 1 ms or more", "lost", "balancer waited %", "generator waited %", "stolen %"},
	}
	for i := range runs {
		r := &runs[i]
		for j := range r.Latencies {
			l := &r.Latencies[j]
			late := "–"
			if len(l.Tail) > 0 {
				late = fmt.Sprint(l.SlowerThan(pause))
			}
			noisy := l.P999Rounds.Noisy()
			if noisy {
				s.noisy(fmt.Sprintf("p99.9 of %s with %s at %.3g %% load", r.Name, queuesOf(r.Queues), 100*l.Load), l.P999Rounds.Spread())
			}
			g.Rows = append(g.Rows, []string{r.Name, fmt.Sprint(r.Queues), fmt.Sprintf("%.3g", 100*l.Load), fmt.Sprintf("%.3f", l.OfferedMpps), fmt.Sprint(l.Samples),
				fmt.Sprintf("%.1f", l.P50), fmt.Sprintf("%.1f", l.P90), fmt.Sprintf("%.1f", l.P99), mark(noisy) + fmt.Sprintf("%.1f", l.P999),
				optional("%.1f", l.P999Rounds.Min()), optional("%.1f", l.P999Rounds.Max()), fmt.Sprintf("%.1f", l.Max), late,
				fmt.Sprint(l.Lost), fmt.Sprintf("%.2f", 100*l.BalancerWaited), fmt.Sprintf("%.2f", 100*l.GeneratorWaited), fmt.Sprintf("%.2f", 100*l.Stolen)})
		}
	}
	return g
}
