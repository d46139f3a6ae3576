package sched

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// BenchmarkSchedule has one new client an op, from random addresses to 256 destinations,
// over servers of weight 1 to 10 with a few connections each.
func BenchmarkSchedule(b *testing.B) {
	const requests = 4096
	random := rand.New(rand.NewPCG(1, 2))
	clients := make([]service.Request, requests)
	for i := range clients {
		clients[i].Tuple = packet.Tuple{Src: packet.AddrFrom4(random.Uint32()), Dst: packet.AddrFrom4(random.Uint32N(256)), Protocol: packet.TCP}
	}
	for _, name := range Names() {
		for _, n := range []int{2, 100, 1000} {
			b.Run(fmt.Sprintf("scheduler=%s/servers=%d", name, n), func(b *testing.B) {
				weights := make([]int32, n)
				for i := range weights {
					weights[i] = int32(1 + i%10)
				}
				reals := servers(weights...)
				for _, r := range reals {
					load(r, 1+random.Int64N(8), random.Int64N(100))
				}
				s := mustNew(b, name, reals, Options{})
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					sink = s.Schedule(&clients[i%requests])
					i++
				}
			})
		}
	}
}

// One server of a thousand has all the weight but a little: most passes of wrr have no one
// else.
func BenchmarkWeightedRoundRobinSkewed(b *testing.B) {
	weights := make([]int32, 1000)
	for i := range weights {
		weights[i] = 1
	}
	weights[500] = 1000
	s := mustNew(b, "wrr", servers(weights...), Options{})
	r := from("198.51.100.1:4000")
	for b.Loop() {
		sink = s.Schedule(r)
	}
}

var sink *service.RealServer
