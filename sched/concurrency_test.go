package sched

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// Workers that share a round take turns exactly: nobody's turn is lost or given twice.
func TestRoundsAreExactAmongWorkers(t *testing.T) {
	const workers, rounds = 4, 2000
	for name, weights := range map[string][]int32{"rr": {1, 1, 1, 1, 1}, "wrr": {3, 1, 7, 1, 4}} {
		reals := servers(weights...)
		s := mustNew(t, name, reals, Options{})
		perRound := 0
		for _, w := range weights {
			perRound += int(w)
		}
		taken := make([]atomic.Int64, len(reals))
		var wait sync.WaitGroup
		for range workers {
			wait.Go(func() {
				r := from("198.51.100.1:4000")
				for range rounds * perRound {
					taken[lastByte(s.Schedule(r))-11].Add(1)
				}
			})
		}
		wait.Wait()
		for i, w := range weights {
			if got, want := taken[i].Load(), int64(w)*workers*rounds; got != want {
				t.Errorf("%s: server %d of weight %d was chosen %d times, want %d", name, i, w, got, want)
			}
		}
	}
}

// Workers schedule while counts and overloads change under them and the Director reloads.
// As long as one server is never overloaded, nobody is turned away, but by dh, whose
// clients have one server each.
func TestEverySchedulerUnderChange(t *testing.T) {
	const workers, picks = 3, 3000
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			reals := servers(40, 3, 1, 25, 8)
			opt := Options{Flags: []string{"flag-1"}, CacheSize: 8}
			var current atomic.Pointer[service.Scheduler]
			s := mustNew(t, name, reals, opt)
			current.Store(&s)
			var working, changing sync.WaitGroup
			for w := range workers {
				working.Go(func() { work(t, uint64(w), picks, &current, name == "dh" || name == "ovf") })
			}
			var done atomic.Bool
			changing.Go(func() {
				random := rand.New(rand.NewPCG(1, 1))
				for !done.Load() {
					r := reals[random.IntN(len(reals))]
					r.Counts.Overloaded.Store(r != reals[2] && random.IntN(2) == 0)
					next := opt
					next.Previous = *current.Load()
					s, err := New(name, reals, next)
					if err != nil {
						t.Error(err)
						return
					}
					current.Store(&s)
				}
			})
			working.Wait()
			done.Store(true)
			changing.Wait()
			switch s := (*current.Load()).(type) {
			case *locality:
				s.cache.checkRest(t)
			case *replication:
				s.cache.checkRest(t)
			}
		})
	}
}

// work is one worker: it schedules random clients and destinations and counts their
// connections, some of which end.
func work(t *testing.T, seed uint64, picks int, current *atomic.Pointer[service.Scheduler], refuses bool) {
	random := rand.New(rand.NewPCG(seed, 2))
	r := from("198.51.100.1:4000")
	for i := range picks {
		r.Now = uint32(i / 100)
		r.Tuple.Src = packet.AddrFrom4(random.Uint32())
		r.Tuple.Dst = packet.AddrFrom4(random.Uint32N(40))
		real := (*current.Load()).Schedule(r)
		if real == nil {
			if !refuses {
				t.Error("no server although one is never overloaded")
				return
			}
			continue
		}
		if real.Counts.Active.Add(1); random.IntN(8) != 0 {
			real.Counts.Active.Add(-1)
			real.Counts.Inactive.Add(1)
		}
	}
}

func TestScheduleDoesNotAllocate(t *testing.T) {
	for _, name := range Names() {
		for _, overloaded := range []bool{false, true} {
			reals := servers(4, 3, 2, 1)
			reals[3].Counts.Overloaded.Store(overloaded)
			s := mustNew(t, name, reals, Options{Flags: []string{"flag-1", "flag-2"}, CacheSize: 64})
			r := from("198.51.100.1:4000")
			if n := testing.AllocsPerRun(2000, func() {
				r.Now++
				r.Tuple.Src.Lo++
				r.Tuple.Dst.Lo += uint64(r.Now & 1) // a destination's first and second client
				if real := s.Schedule(r); real != nil {
					real.Counts.Active.Add(1)
				}
			}); n != 0 {
				t.Errorf("%s, one overloaded: %v: %v allocations a pick", name, overloaded, n)
			}
		}
	}
}
