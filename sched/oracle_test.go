package sched

import (
	"math/big"
	"slices"
	"testing"

	"github.com/xlvs/xlvs/service"
	"pgregory.net/rapid"
)

// An oracle is a scheduler written down from its rule in the plainest way, over the list of
// servers in the order in which they were configured.
type oracle func(reals []*service.RealServer) *service.RealServer

// walk is IPVS's order: the server added last comes first.
func walk(reals []*service.RealServer) []*service.RealServer {
	w := slices.Clone(reals)
	slices.Reverse(w)
	return w
}

func overhead(r *service.RealServer) int64 {
	return r.Counts.Active.Load()*256 + r.Counts.Inactive.Load()
}

// least is the first server of those that may be chosen whose load is the smallest
// fraction.
func least(reals []*service.RealServer, load func(*service.RealServer) *big.Rat) (best *service.RealServer) {
	for _, r := range walk(reals) {
		if r.Available() && (best == nil || load(r).Cmp(load(best)) < 0) {
			best = r
		}
	}
	return best
}

func byWeight(n int64, r *service.RealServer) *big.Rat { return big.NewRat(n, int64(r.Weight)) }

func lcOracle(reals []*service.RealServer) *service.RealServer {
	return least(reals, func(r *service.RealServer) *big.Rat { return big.NewRat(overhead(r), 1) })
}

func wlcOracle(reals []*service.RealServer) *service.RealServer {
	return least(reals, func(r *service.RealServer) *big.Rat { return byWeight(overhead(r), r) })
}

func sedOracle(reals []*service.RealServer) *service.RealServer {
	return least(reals, func(r *service.RealServer) *big.Rat { return byWeight(r.Counts.Active.Load()+1, r) })
}

func nqOracle(reals []*service.RealServer) *service.RealServer {
	for _, r := range walk(reals) {
		if r.Available() && r.Counts.Active.Load() == 0 {
			return r
		}
	}
	return sedOracle(reals)
}

func foOracle(reals []*service.RealServer) *service.RealServer {
	return least(reals, func(r *service.RealServer) *big.Rat { return big.NewRat(-int64(r.Weight), 1) })
}

func ovfOracle(reals []*service.RealServer) *service.RealServer {
	var fit []*service.RealServer
	for _, r := range reals {
		if r.Counts.Active.Load() <= int64(r.Weight) {
			fit = append(fit, r)
		}
	}
	return foOracle(fit)
}

// weight draws weights that are quiesced, small, equal, or as great as can be.
var weight = rapid.OneOf(rapid.Just[int32](0), rapid.Int32Range(0, 4), rapid.Int32Range(0, 1<<31-1), rapid.Just[int32](1<<31-1))

var connectionCount = rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, 1<<40))

// disturb gives every server new counts, and a few of them an overload.
func disturb(t *rapid.T, reals []*service.RealServer) {
	for _, r := range reals {
		load(r, connectionCount.Draw(t, "active"), connectionCount.Draw(t, "inactive"))
		r.Counts.Overloaded.Store(rapid.IntRange(0, 3).Draw(t, "overloaded") == 0)
		r.Counts.Unreachable.Store(rapid.IntRange(0, 3).Draw(t, "unreachable") == 0)
	}
}

func TestConnectionSchedulersAgainstOracles(t *testing.T) {
	for name, want := range map[string]oracle{
		"lc": lcOracle, "wlc": wlcOracle, "sed": sedOracle, "nq": nqOracle, "fo": foOracle, "ovf": ovfOracle,
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				reals := servers(rapid.SliceOfN(weight, 0, 8).Draw(t, "weights")...)
				s := mustNewRapid(t, name, reals, Options{})
				for range 5 {
					disturb(t, reals)
					if got, want := s.Schedule(from("198.51.100.1:4000")), want(reals); got != want {
						t.Fatalf("chose %v, want %v", lastByte(got), lastByte(want))
					}
				}
			})
		})
	}
}

func mustNewRapid(t *rapid.T, name string, reals []*service.RealServer, opt Options) service.Scheduler {
	s, err := New(name, reals, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTwoChoicesAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reals := servers(rapid.SliceOfN(weight, 1, 8).Draw(t, "weights")...)
		disturb(t, reals)
		s := mustNewRapid(t, "twos", reals, Options{}).(*twoChoices)
		var owners []*service.RealServer // in the order of their tickets
		var ends []int64
		var tickets int64
		for _, r := range walk(reals) {
			if r.Available() {
				tickets += int64(r.Weight)
				owners, ends = append(owners, r), append(ends, tickets)
			}
		}
		if got := s.tickets(); got != tickets {
			t.Fatalf("%d tickets, want %d", got, tickets)
		}
		if tickets == 0 {
			return
		}
		owner := func(ticket int64) *service.RealServer {
			return owners[slices.IndexFunc(ends, func(end int64) bool { return ticket < end })]
		}
		one, two := rapid.Int64Range(0, tickets-1).Draw(t, "one"), rapid.Int64Range(0, tickets-1).Draw(t, "two")
		want := owner(one)
		if byWeight(overhead(owner(two)), owner(two)).Cmp(byWeight(overhead(want), want)) < 0 {
			want = owner(two)
		}
		if got := s.choose(one, two); got != want {
			t.Fatalf("tickets %d and %d: chose %d, want %d", one, two, lastByte(got), lastByte(want))
		}
	})
}

// Of equal servers, IPVS takes the first of its list: the one configured last.
func TestTiesGoToTheServerConfiguredLast(t *testing.T) {
	weights := make([]int32, 50)
	for i := range weights {
		weights[i] = 3
	}
	for _, name := range []string{"lc", "wlc", "sed", "nq", "fo", "ovf", "lblc", "lblcr"} {
		reals := servers(weights...)
		if real := mustNew(t, name, reals, Options{}).Schedule(from("198.51.100.1:4000")); real != reals[49] {
			t.Errorf("%s chose %d, want %d", name, lastByte(real), lastByte(reals[49]))
		}
	}
}

func TestCost(t *testing.T) {
	r := servers(1)[0]
	for _, c := range []struct {
		active, inactive   int64
		connections, delay uint64
	}{
		{0, 0, 0, 1},
		{1, 0, 256, 2},
		{0, 257, 257, 1},
		{3, 5, 773, 4},
		{-1, 4, 4, 1}, // counted down before it was counted up
		{2, -1, 512, 3},
		{1 << 40, 0, 1 << 48, 1<<40 + 1},
	} {
		load(r, c.active, c.inactive)
		if got := connections.of(r); got != c.connections {
			t.Errorf("%d active, %d inactive: overhead %d, want %d", c.active, c.inactive, got, c.connections)
		}
		if got := delay.of(r); got != c.delay {
			t.Errorf("%d active, %d inactive: delay %d, want %d", c.active, c.inactive, got, c.delay)
		}
	}
}

// Failing over one server after the other goes through them as the rule says, however many
// there are.
func TestFailoverThroughManyServers(t *testing.T) {
	weights := make([]int32, 60)
	for i := range weights {
		weights[i] = int32(i % 4)
	}
	for name, want := range map[string]oracle{"fo": foOracle, "ovf": ovfOracle} {
		reals := servers(weights...)
		s := mustNew(t, name, reals, Options{})
		for range 46 { // 45 servers have a weight
			got, want := s.Schedule(from("198.51.100.1:4000")), want(reals)
			if got != want {
				t.Fatalf("%s chose %d, want %d", name, lastByte(got), lastByte(want))
			}
			if got != nil {
				got.Counts.Overloaded.Store(true)
			}
		}
	}
}
