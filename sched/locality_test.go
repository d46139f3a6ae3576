package sched

import (
	"slices"
	"testing"
	"time"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
	"pgregory.net/rapid"
)

// localityOracle is lblc and lblcr by the pseudo code at the head of ip_vs_lblc.c and
// ip_vs_lblcr.c, with a map.
type localityOracle struct {
	replicas   bool
	expiration uint32
	sets       map[packet.Addr]*serverSet
}

type serverSet struct {
	ids           []service.ID // the one added last first
	used, changed uint32
}

func (o *localityOracle) schedule(reals []*service.RealServer, r *service.Request) *service.RealServer {
	set := o.sets[r.Tuple.Dst]
	if set == nil || r.Now-set.used >= o.expiration {
		real := wlcOracle(reals)
		delete(o.sets, r.Tuple.Dst)
		if real != nil {
			o.sets[r.Tuple.Dst] = &serverSet{ids: []service.ID{real.ID}, used: r.Now, changed: r.Now}
		}
		return real
	}
	set.used = r.Now
	var members []*service.RealServer // in the order that least expects, the first added first
	for _, id := range set.ids {
		if i := slices.IndexFunc(reals, func(r *service.RealServer) bool { return r.ID == id }); i >= 0 {
			members = append([]*service.RealServer{reals[i]}, members...)
		}
	}
	real := wlcOracle(members)
	if len(members) > 1 && r.Now-set.changed > o.expiration {
		o.dropMostLoaded(set, members, r.Now)
	}
	if real != nil && !strainedOracle(real, reals) {
		return real
	}
	if real = wlcOracle(reals); real == nil {
		return nil
	}
	switch {
	case !o.replicas:
		set.ids = []service.ID{real.ID}
	case !slices.Contains(set.ids, real.ID):
		set.ids, set.changed = append([]service.ID{real.ID}, set.ids...), r.Now
	}
	return real
}

func (o *localityOracle) dropMostLoaded(set *serverSet, members []*service.RealServer, now uint32) {
	var most *service.RealServer
	for _, r := range walk(members) {
		if r.Weight > 0 && (most == nil || byWeight(overhead(r), r).Cmp(byWeight(overhead(most), most)) > 0) {
			most = r
		}
	}
	if most != nil {
		set.ids = slices.DeleteFunc(set.ids, func(id service.ID) bool { return id == most.ID })
		set.changed = now
	}
}

func strainedOracle(r *service.RealServer, reals []*service.RealServer) bool {
	return r.Counts.Active.Load() > int64(r.Weight) && slices.ContainsFunc(reals, func(other *service.RealServer) bool {
		return other.Counts.Active.Load()*2 < int64(other.Weight)
	})
}

func TestLocalitySchedulersAgainstOracle(t *testing.T) {
	for name, replicas := range map[string]bool{"lblc": false, "lblcr": true} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				weights := rapid.SliceOfN(rapid.Int32Range(0, 20), 1, 7)
				seconds := rapid.SampledFrom([]uint32{0, 1, 20, 20, 30, 59, 60})
				all := servers(weights.Draw(t, "weights")...)
				oracle := &localityOracle{replicas: replicas, expiration: 60, sets: make(map[packet.Addr]*serverSet)}
				opt := Options{Expiration: time.Minute}
				reals, now := all, uint32(1000)
				opt.Previous = mustNewRapid(t, name, reals, opt)
				for range rapid.IntRange(1, 60).Draw(t, "steps") {
					now += seconds.Draw(t, "seconds")
					switch rapid.IntRange(0, 9).Draw(t, "step") {
					case 0:
						next := make([]int32, len(all))
						for i := range next {
							next[i] = rapid.Int32Range(0, 20).Draw(t, "new weight")
						}
						reals = reweighted(all, next...)
						opt.Previous = mustNewRapid(t, name, reals, opt)
					case 1, 2, 3:
						for _, r := range reals {
							load(r, rapid.Int64Range(0, 30).Draw(t, "active"), 0)
							r.Counts.Overloaded.Store(rapid.IntRange(0, 5).Draw(t, "overloaded") == 0)
						}
					default:
						r := from("198.51.100.1:4000")
						r.Tuple.Dst.Lo += uint64(rapid.IntRange(0, 3).Draw(t, "destination"))
						r.Now = now
						got, want := opt.Previous.Schedule(r), oracle.schedule(reals, r)
						if got != want {
							t.Fatalf("at %d destination %v goes to %d, want %d", now, r.Tuple.Dst, lastByte(got), lastByte(want))
						}
					}
				}
			})
		})
	}
}

// A set that has not changed for longer than the expiration loses its most loaded server,
// one at a time, down to one.
func TestReplicationShrinks(t *testing.T) {
	reals := servers(1, 1, 1)
	s := mustNew(t, "lblcr", reals, Options{Expiration: 100 * time.Second}).(*replication)
	r := from("198.51.100.1:4000")
	for range reals { // all of them, added at 0: each strained while another is idle
		load(s.Schedule(r), 2, 0)
	}
	load(reals[0], 2, 2)
	load(reals[1], 2, 3)
	load(reals[2], 2, 1)
	members := func() (ids []int) {
		var m remembered
		s.cache.find(r.Tuple.Dst, r.Now, 100, &m)
		for _, id := range m.servers[:m.n] {
			ids = append(ids, 10+int(id.Number()))
		}
		return ids
	}
	for _, c := range []struct {
		now  uint32
		want []int
	}{
		{0, []int{11, 12, 13}},
		{60, []int{11, 12, 13}},
		{100, []int{11, 12, 13}},
		{101, []int{11, 13}},
		{180, []int{11, 13}},
		{201, []int{11, 13}},
		{202, []int{13}},
		{290, []int{13}},
		{380, []int{13}},
	} {
		r.Now = c.now
		if real := s.Schedule(r); real != reals[2] {
			t.Errorf("at %d chose %d, want the least loaded of the set", c.now, lastByte(real))
		}
		if got := members(); !slices.Equal(got, c.want) {
			t.Errorf("at %d the set is %v, want %v", c.now, got, c.want)
		}
	}
}

// A strained server that is the best of all is not added to the set that has it: the set
// has not changed.
func TestReplicationAddsNobodyTwice(t *testing.T) {
	reals := servers(1, 20)
	s := mustNew(t, "lblcr", reals, Options{Expiration: 100 * time.Second}).(*replication)
	r := from("198.51.100.1:4000")
	load(reals[1], 9, 0)
	s.Schedule(r)           // 11 and only 11: it is idle
	load(reals[0], 2, 0)    // strained, as 12 has less than half of its weight
	load(reals[1], 9, 9999) // and has the greater load all the same
	r.Now = 50
	if real := s.Schedule(r); real != reals[0] {
		t.Fatalf("chose %d, want 11", lastByte(real))
	}
	var m remembered
	s.cache.find(r.Tuple.Dst, r.Now, 100, &m)
	if m.n != 1 || m.changed != 0 || m.used != 50 {
		t.Errorf("%d servers, changed at %d, used at %d: want 1, 0 and 50", m.n, m.changed, m.used)
	}
}

// A set that is full makes room for one more server.
func TestReplicationOfMoreServersThanASetHolds(t *testing.T) {
	weights := make([]int32, 2*maxReplicas)
	for i := range weights {
		weights[i] = 1
	}
	reals := servers(weights...)
	s := mustNew(t, "lblcr", reals, Options{})
	r := from("198.51.100.1:4000")
	for i := range reals {
		real := s.Schedule(r)
		if want := len(reals) - 1 - i; real != reals[want] {
			t.Fatalf("with all servers of the set strained, pick %d is %d, want %d", i, lastByte(real), lastByte(reals[want]))
		}
		load(real, 2, 0) // strained as long as another one is idle
	}
	load(reals[len(reals)-1], 0, 0) // the first one of the set, long out of it
	load(reals[0], 1, 0)
	if real := s.Schedule(r); real != reals[0] {
		t.Errorf("the set has %d, want the least loaded of those added last", lastByte(real))
	}
}

// What the cache knows of a server that is gone must not name the next one, and what it
// knows of the others must outlive a reload.
func TestLocalityAcrossReloads(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		reals := servers(1, 1, 1)
		old := mustNew(t, name, reals, Options{})
		to := func(n uint64) *service.Request {
			r := from("198.51.100.1:4000")
			r.Tuple.Dst.Lo += n
			return r
		}
		for i := range uint64(3) {
			load(old.Schedule(to(i)), 1, 0) // to 13, 12, 11, and none of them strained
		}
		rest := mustNew(t, name, reals[:2], Options{Previous: old})
		got := []int{lastByte(rest.Schedule(to(1))), lastByte(rest.Schedule(to(2))), lastByte(rest.Schedule(to(0)))}
		if want := []int{12, 11, 12}; !slices.Equal(got, want) {
			t.Errorf("%s: after a reload without 13: %v, want %v", name, got, want)
		}
		load(reals[0], 0, 0) // the others' destinations stay where they are all the same
		if got := lastByte(mustNew(t, name, reals[:2], Options{Previous: rest}).Schedule(to(1))); got != 12 {
			t.Errorf("%s: after another reload: %d, want 12", name, got)
		}
		if got := lastByte(mustNew(t, name, reals[:2], Options{Previous: rest, CacheSize: 64}).Schedule(to(1))); got != 11 {
			t.Errorf("%s: with a cache of another size: %d, want the least loaded", name, got)
		}
	}
}

func TestLocalityNeverPicksAnOverloadedServer(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		reals := servers(1, 1)
		s := mustNew(t, name, reals, Options{})
		first := s.Schedule(from("198.51.100.1:4000"))
		first.Counts.Overloaded.Store(true)
		if second := s.Schedule(from("198.51.100.1:4000")); second == first || second == nil {
			t.Errorf("%s: the destination goes to %v, whose threshold is reached", name, second)
		}
	}
}

// A destination that is asked for while no server is to be had is in use all the same.
func TestLocalityRemembersWhileNobodyIsAvailable(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		reals := servers(1, 1)
		s := mustNew(t, name, reals, Options{Expiration: 10 * time.Second})
		r := from("198.51.100.1:4000")
		first := s.Schedule(r)
		load(first, 1, 0) // the other one would be chosen for a new destination
		overload := func(on bool) {
			for _, r := range reals {
				r.Counts.Overloaded.Store(on)
			}
		}
		overload(true)
		for r.Now = 8; r.Now < 40; r.Now += 8 {
			if real := s.Schedule(r); real != nil {
				t.Fatalf("%s: at %d chose %d, which is overloaded", name, r.Now, lastByte(real))
			}
		}
		overload(false)
		if real := s.Schedule(r); real != first {
			t.Errorf("%s: chose %d, want %d, where the destination was", name, lastByte(real), lastByte(first))
		}
	}
}
