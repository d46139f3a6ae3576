package report

import (
	"fmt"

	"github.com/xlvs/xlvs/perf/result"
)

func (s *section) pipeline(found *result.Pipeline) {
	s.Title = "The balancer’s own work"
	s.Lead = fmt.Sprintf("From the bytes of a frame to its verdict and the rewritten frame, without a network: %s, %s routing, frames of %s bytes, "+
		"%.3g %% of the packets open a connection, batches of %d. Nanoseconds of one thread’s processor time.",
		found.Family, found.Method, found.Size, 100*found.Mix, found.Batch)
	g := grid{Head: []string{"flows", "ns/packet", "fastest ns", "slowest ns", "Mpps a core", "allocs/packet", "GC cycles"}}
	for _, stage := range found.StageOrder {
		g.Head = append(g.Head, stage+" ns")
	}
	for i := range found.Cases {
		c := &found.Cases[i]
		s.Cards = append(s.Cards, card{mark(c.Noisy) + fmt.Sprintf("%.1f", c.NsPerPacket), "ns", fmt.Sprintf("a packet with %s flows, %.1f Mpps a core", short(float64(c.Flows)), c.PacketsPerSecond/1e6)})
		row := []string{fmt.Sprint(c.Flows), mark(c.Noisy) + fmt.Sprintf("%.1f", c.NsPerPacket), fmt.Sprintf("%.1f", c.Rounds.Min()), fmt.Sprintf("%.1f", c.Rounds.Max()),
			fmt.Sprintf("%.2f", c.PacketsPerSecond/1e6), fmt.Sprint(c.AllocsPerPacket), fmt.Sprint(c.GCCycles)}
		for _, stage := range found.StageOrder {
			row = append(row, fmt.Sprintf("%.1f", c.Stages[stage]))
		}
		g.Rows = append(g.Rows, row)
		if c.Noisy {
			s.noisy(fmt.Sprintf("%d flows", c.Flows), c.Spread)
		}
	}
	s.Tables = []grid{g}
}
