package sched

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/xlvs/xlvs/service"
	"pgregory.net/rapid"
)

// rrOracle is ip_vs_rr_schedule: from the server after the last one, once around.
type rrOracle struct{ last *service.RealServer }

func (o *rrOracle) schedule(reals []*service.RealServer) *service.RealServer {
	w := walk(reals)
	at := slices.Index(w, o.last) // -1 is the head of the list
	for i := 1; i <= len(w); i++ {
		if r := w[(at+i)%len(w)]; r.Available() {
			o.last = r
			return r
		}
	}
	return nil
}

// wrrOracle is ip_vs_wrr.c by its description: passes whose level falls from the greatest
// weight to the step, and each pass takes every server of at least that weight.
type wrrOracle struct {
	at    int // servers looked at in this pass
	level int64
}

func (o *wrrOracle) schedule(reals []*service.RealServer) *service.RealServer {
	var top, step int64
	available := false
	for _, r := range reals {
		top = max(top, int64(r.Weight))
		step = new(big.Int).GCD(nil, nil, big.NewInt(step), big.NewInt(int64(r.Weight))).Int64()
		available = available || r.Available()
	}
	if !available {
		return nil
	}
	if o.level == 0 {
		o.level = top
	}
	for w := walk(reals); ; {
		for o.at < len(w) {
			r := w[o.at]
			o.at++
			if r.Available() && int64(r.Weight) >= o.level {
				return r
			}
		}
		o.at = 0
		if o.level -= step; o.level == 0 {
			o.level = top
		}
	}
}

func TestRoundSchedulersAgainstOracles(t *testing.T) {
	// The oracle of wrr counts every pass down: small multiples of anything.
	small := rapid.Custom(func(t *rapid.T) []int32 {
		unit := rapid.SampledFrom([]int32{1, 2, 7, 100_000_000}).Draw(t, "unit")
		weights := rapid.SliceOfN(rapid.Int32Range(0, 12), 0, 9).Draw(t, "weights")
		for i := range weights {
			weights[i] *= unit
		}
		return weights
	})
	check := func(name string, fresh func() oracle) {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				reals := servers(small.Draw(t, "servers")...)
				s, want := mustNewRapid(t, name, reals, Options{}), fresh()
				for range rapid.IntRange(1, 6).Draw(t, "changes") {
					disturb(t, reals)
					for i := range 30 {
						if got, want := s.Schedule(from("198.51.100.1:4000")), want(reals); got != want {
							t.Fatalf("pick %d is %d, want %d", i, lastByte(got), lastByte(want))
						}
					}
				}
			})
		})
	}
	check("rr", func() oracle { return new(rrOracle).schedule })
	check("wrr", func() oracle { return new(wrrOracle).schedule })
}

// kernelWRR is ip_vs_wrr_schedule line by line, over indices: -1 is the head of the list.
// The kernel leaves its loop by other conditions than the oracle above.
type kernelWRR struct{ cl, cw, mw, di int }

func newKernelWRR(reals []*service.RealServer) *kernelWRR {
	k := &kernelWRR{cl: -1}
	for _, r := range reals {
		k.di = int(gcd(uint32(k.di), uint32(r.Weight)))
		k.mw = max(k.mw, int(r.Weight))
	}
	k.di = max(k.di, 1)
	k.mw -= k.di - 1
	k.cw = k.mw
	return k
}

func (k *kernelWRR) schedule(reals []*service.RealServer) *service.RealServer {
	const head = -1
	before := *k
	w := walk(reals)
	dest, last, stop := k.cl, k.cl, -2
	lastPass, restarted := false, false
	if k.mw <= 0 {
		return nil
	}
	for {
		for dest++; dest < len(w); dest++ {
			if w[dest].Available() && int(w[dest].Weight) >= k.cw {
				k.cl = dest
				return w[dest]
			}
			if dest == stop {
				*k = before // unlike the kernel, which stays where it gave up
				return nil
			}
		}
		dest = head
		k.cw -= k.di
		if k.cw <= 0 {
			k.cw = k.mw
			if lastPass || last == head {
				*k = before
				return nil
			}
			restarted = true
		}
		lastPass = k.cw <= k.di
		if lastPass && restarted && last != head {
			stop = last
		}
	}
}

func TestWeightedRoundRobinIsTheKernels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reals := servers(rapid.SliceOfN(rapid.Int32Range(0, 12), 0, 9).Draw(t, "weights")...)
		s, kernel := mustNewRapid(t, "wrr", reals, Options{}), newKernelWRR(reals)
		for range 4 {
			disturb(t, reals)
			for i := range 20 {
				got, want := s.Schedule(from("198.51.100.1:4000")), kernel.schedule(reals)
				if got != want {
					t.Fatalf("pick %d is %d, the kernel's %d", i, lastByte(got), lastByte(want))
				}
			}
		}
	})
}

// A great weight must cost neither time nor memory, whoever is overloaded.
func TestWeightedRoundRobinSkipsEmptyPasses(t *testing.T) {
	reals := servers(1, 1<<31-1, 2, 1)
	s := mustNew(t, "wrr", reals, Options{})
	reals[1].Counts.Overloaded.Store(true)
	// Down from a level of 2^31-1: 13 has weight 2, then 14, 13, 11 have at least 1.
	want := []int{13, 14, 13, 11, 13, 14, 13, 11}
	if got := picks(s, len(want)); !slices.Equal(got, want) {
		t.Errorf("picks %v, want %v", got, want)
	}
}

func TestMaxTree(t *testing.T) {
	seed := [2]uint64{1, 2}
	random := rand.New(rand.NewPCG(seed[0], seed[1]))
	for n := range 40 {
		weights := make([]int32, n)
		for i := range weights {
			weights[i] = 1 + random.Int32N(6)
		}
		tree := newMaxTree(servers(weights...))
		for i := range n + 3 {
			for w := int32(1); w < 8; w++ {
				want := -1
				for j := i; j < n && want < 0; j++ {
					if weights[j] >= w {
						want = j
					}
				}
				if got := tree.first(i, uint32(w)); got != want {
					t.Fatalf("seed %v: first(%d, %d) in %v = %d, want %d", seed, i, w, weights, got, want)
				}
			}
		}
	}
}
