package sched

import (
	"slices"
	"testing"

	"github.com/xlvs/xlvs/service"
	"pgregory.net/rapid"
)

// A reload that changes nothing changes nothing: the round goes on.
func TestReloadKeepsTheRound(t *testing.T) {
	for _, name := range []string{"rr", "wrr"} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				reals := servers(rapid.SliceOfN(rapid.Int32Range(0, 12), 0, 9).Draw(t, "weights")...)
				undisturbed := mustNewRapid(t, name, reals, Options{})
				reloaded := mustNewRapid(t, name, reals, Options{})
				for range rapid.IntRange(1, 20).Draw(t, "reloads") {
					n := rapid.IntRange(0, 10).Draw(t, "picks between")
					if got, want := picks(reloaded, n), picks(undisturbed, n); !slices.Equal(got, want) {
						t.Fatalf("picks after a reload %v, without one %v", got, want)
					}
					copied := reweighted(reals, weightsOf(reals)...)
					reloaded = mustNewRapid(t, name, copied, Options{Previous: reloaded})
				}
			})
		})
	}
}

func weightsOf(reals []*service.RealServer) []int32 {
	weights := make([]int32, len(reals))
	for i, r := range reals {
		weights[i] = r.Weight
	}
	return weights
}

// Servers 11 to 14 are walked from 14 down to 11.
func TestRoundRobinAcrossChanges(t *testing.T) {
	four := servers(1, 1, 1, 1)
	without := func(i int) []*service.RealServer { return slices.Delete(slices.Clone(four), i, i+1) }
	for _, c := range []struct {
		what  string
		picks int // before the change
		next  []*service.RealServer
		want  []int
	}{
		{"before the first pick", 0, four, []int{14, 13}},
		{"at the end of the list", 4, four, []int{14, 13}},
		{"the last one chosen is gone", 2, without(2), []int{12, 11, 14}},
		{"the first of the list, and the last one chosen, is gone", 1, without(3), []int{13, 12, 11}},
		{"one already passed is gone", 3, without(3), []int{11, 13, 12}},
		{"one still to come is gone", 2, without(1), []int{11, 14, 13}},
		{"the last one chosen is quiesced", 2, reweighted(four, 1, 1, 0, 1), []int{12, 11, 14}},
		{"one is back from being quiesced", 2, reweighted(four, 2, 2, 2, 2), []int{12, 11, 14}},
		{"one was added", 2, servers(1, 1, 1, 1, 1), []int{12, 11, 15}},
		{"none is left", 2, nil, []int{0, 0}},
	} {
		s := mustNew(t, "rr", four, Options{})
		picks(s, c.picks)
		s = mustNew(t, "rr", c.next, Options{Previous: s})
		if got := picks(s, len(c.want)); !slices.Equal(got, c.want) {
			t.Errorf("%s: picks %v, want %v", c.what, got, c.want)
		}
	}
}

// Weights 1, 2 and 4 of 11, 12 and 13 make the round 13, 13, 13, 12, 13, 12, 11.
func TestWeightedRoundRobinAcrossChanges(t *testing.T) {
	three := servers(1, 2, 4)
	for _, c := range []struct {
		what  string
		picks int
		next  []*service.RealServer
		want  []int
	}{
		{"the first round", 0, three, []int{13, 13, 13, 12, 13, 12, 11, 13}},
		{"in the middle", 3, three, []int{12, 13, 12, 11, 13, 13, 13}},
		{"the level is above the new top", 1, reweighted(three, 1, 2, 2), []int{12, 13, 12, 11, 13}},
		{"the step is greater than the level", 6, reweighted(three, 4, 4, 4), []int{11, 13, 12, 11}},
		{"the heaviest is gone", 2, three[:2], []int{12, 12, 11, 12}},
		{"the one it stopped at is gone", 4, []*service.RealServer{three[0], three[2]}, []int{13, 11, 13, 13, 13}},
		{"the level is none of the new ones", 0, reweighted(three, 2, 4, 8), []int{13, 13, 12, 13, 12, 11, 13}},
		{"none is left", 2, nil, []int{0}},
	} {
		s := mustNew(t, "wrr", three, Options{})
		picks(s, c.picks)
		s = mustNew(t, "wrr", c.next, Options{Previous: s})
		if got := picks(s, len(c.want)); !slices.Equal(got, c.want) {
			t.Errorf("%s: picks %v, want %v", c.what, got, c.want)
		}
	}
}

// Whatever changes, from whatever scheduler to whatever other, the next one works and
// spreads as if it were new.
func TestReloadFromAnythingToAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(weight, 0, 6)
		names := rapid.SampledFrom(Names())
		var s service.Scheduler
		for range 6 {
			reals := servers(weights.Draw(t, "weights")...)
			name := names.Draw(t, "scheduler")
			s = mustNewRapid(t, name, reals, Options{Previous: s, Flags: []string{"flag-1"}})
			available := list(reals).anyAvailable()
			for range rapid.IntRange(0, 9).Draw(t, "picks") {
				real := s.Schedule(from("198.51.100.1:4000"))
				if real != nil && !slices.Contains(reals, real) {
					t.Fatalf("%s chose %v, which is none of its servers", name, real.Addr)
				}
				if real == nil && available && name != "dh" && name != "sh" && name != "mh" {
					t.Fatalf("%s chose nobody although there is an available server", name)
				}
			}
		}
	})
}

func TestRoundsBeginWhenThereAreServersAgain(t *testing.T) {
	for name, want := range map[string][]int{"rr": {13, 12, 11}, "wrr": {13, 13, 13, 12, 13, 12, 11}} {
		none := mustNew(t, name, servers(0, 0, 0), Options{})
		s := mustNew(t, name, servers(1, 2, 4), Options{Previous: none})
		if got := picks(s, len(want)); !slices.Equal(got, want) {
			t.Errorf("%s: picks %v, want %v", name, got, want)
		}
	}
}
