package sched

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// Over a million new clients, every server gets its share to within 1 %. Where connections
// stay and decide, a tenth of that shows it as well.
func TestDistribution(t *testing.T) {
	equal, byWeights := servers(1, 1, 1, 1), servers(1, 2, 3, 4)
	for _, c := range []struct {
		name    string
		reals   []*service.RealServer
		count   bool // a connection stays: the server has one more
		even    bool // whatever the weights
		weights []int32
	}{
		{name: "rr", reals: equal},
		{name: "wrr", reals: byWeights},
		{name: "wrr", reals: servers(1, 100, 1000, 899)},
		{name: "wrr", reals: servers(1<<30, 1<<29, 1<<28)},
		{name: "sh", reals: servers(65, 127, 64)}, // in sum 256, its buckets
		{name: "dh", reals: servers(1, 2, 4, 1), even: true},
		{name: "mh", reals: byWeights},
		{name: "mh", reals: servers(1<<26, 1<<27, 3<<26, 63<<24)}, // 63 is the most that mh tells apart,
		{name: "twos", reals: byWeights},
		{name: "twos", reals: equal},
		{name: "twos", reals: servers(1<<31-1, 1<<31-1, 1<<30)},
		{name: "lc", reals: byWeights, count: true, even: true},
		{name: "wlc", reals: byWeights, count: true},
		{name: "sed", reals: byWeights, count: true},
		{name: "nq", reals: byWeights, count: true},
		{name: "twos", reals: byWeights, count: true},
	} {
		t.Run(fmt.Sprintf("%s%v", c.name, weightsOf(c.reals)), func(t *testing.T) {
			for _, r := range c.reals {
				load(r, 0, 0)
			}
			clients := 1_000_000
			if c.count {
				clients /= 10
			}
			random := rand.New(rand.NewPCG(1, 2))
			s := mustNew(t, c.name, c.reals, Options{})
			got := make(map[*service.RealServer]int)
			r := from("198.51.100.1:4000")
			for range clients {
				r.Tuple.Src, r.Tuple.Dst = packet.AddrFrom4(random.Uint32()), packet.AddrFrom4(random.Uint32())
				real := s.Schedule(r)
				if got[real]++; c.count {
					real.Counts.Active.Add(1)
				}
			}
			var total float64
			for _, r := range c.reals {
				total += part(r, c.even)
			}
			for i, r := range c.reals {
				want := float64(clients) * part(r, c.even) / total
				// A server with less than a thousandth is counted to within a few clients.
				if diff := float64(got[r]) - want; diff > want/100+25 || diff < -want/100-25 {
					t.Errorf("%s: server %d of weight %d has %d of %d clients, want %.0f", c.name, i, r.Weight, got[r], clients, want)
				}
			}
		})
	}
}

func part(r *service.RealServer, even bool) float64 {
	if even {
		return 1
	}
	return float64(r.Weight)
}
