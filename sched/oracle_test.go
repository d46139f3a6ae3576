package sched

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
	"pgregory.net/rapid"
)

// An oracle is a scheduler written down from its rule in the plainest way, over
// the list of servers in the order in which they were configured.
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

// least is the first server of those that may be chosen whose load is the smallest fraction.
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

// kernelWRR is ip_vs_wrr_schedule line by line, over indices: -1 is the head
// of the list. The kernel leaves its loop by other conditions than the oracle above.
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
			if !w[dest].Counts.Overloaded.Load() && int(w[dest].Weight) >= k.cw {
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

// hashOracle is sh, dh or mh with a table of whatever kind: the client's place in it by
// hash, and with fallback the places offset by offset.
func hashOracle(table []*service.RealServer, hash func(offset uint32) uint32, fallback bool) *service.RealServer {
	if len(table) == 0 {
		return nil
	}
	first := hash(0)
	if r := table[first]; r.Available() || !fallback {
		if !r.Available() {
			return nil
		}
		return r
	}
	for i := range table {
		if r := table[hash((uint32(i)+first)%uint32(len(table)))]; r.Available() {
			return r
		}
	}
	return nil
}

// shTable has each server as often as its weight says, over and over, cut at 256.
func shTable(reals []*service.RealServer, weighted bool) (table []*service.RealServer) {
	for len(reals) > 0 && len(table) < 256 {
		for _, r := range walk(reals) {
			n := 1
			if weighted {
				n = max(1, min(256, int(r.Weight)))
			}
			table = append(table, slices.Repeat([]*service.RealServer{r}, n)...)
		}
	}
	return table[:min(256, len(table))]
}

func TestHashSchedulersAgainstOracles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reals := servers(rapid.SliceOfN(rapid.OneOf(weight, rapid.Int32Range(0, 300)), 0, 8).Draw(t, "weights")...)
		disturb(t, reals)
		fallback, port := rapid.Bool().Draw(t, "fallback"), rapid.Bool().Draw(t, "port")
		opt := Options{}
		if fallback {
			opt.Flags = append(opt.Flags, "flag-1")
		}
		if port {
			opt.Flags = append(opt.Flags, "flag-2")
		}
		for range 10 {
			checkHashes(t, reals, opt, fallback, port)
		}
	})
}

// checkHashes draws a client and compares where sh and dh send it with the oracles.
func checkHashes(t *rapid.T, reals []*service.RealServer, opt Options, fallback, port bool) {
	r := from("198.51.100.1:4000")
	r.Tuple.SrcPort = rapid.Uint16().Draw(t, "port number")
	r.Tuple.Src.Lo ^= uint64(rapid.Uint32().Draw(t, "client"))
	source, destination := r.Tuple.Src.V4(), r.Tuple.Dst.V4()
	if rapid.Bool().Draw(t, "ipv6") {
		r.Tuple.Src.Hi, r.Tuple.Dst.Hi = rapid.Uint64Min(1).Draw(t, "high"), rapid.Uint64Min(1).Draw(t, "destination")
		words := func(a packet.Addr) uint32 {
			return uint32(a.Hi>>32) ^ uint32(a.Hi) ^ uint32(a.Lo>>32) ^ uint32(a.Lo)
		}
		source, destination = words(r.Tuple.Src), words(r.Tuple.Dst)
	}
	if port {
		source += uint32(r.Tuple.SrcPort)
	}
	golden := func(v uint32) uint32 { return uint32(uint64(v) * 0x61C88647 & 0xffffffff >> 24) }
	sh := hashOracle(shTable(reals, true), func(offset uint32) uint32 { return (offset + golden(source)) & 255 }, fallback)
	dh := hashOracle(shTable(reals, false), func(uint32) uint32 { return golden(destination) }, false)
	for name, want := range map[string]*service.RealServer{"sh": sh, "dh": dh} {
		if got := mustNewRapid(t, name, reals, opt).Schedule(r); got != want {
			t.Fatalf("%s chose %d, want %d", name, lastByte(got), lastByte(want))
		}
	}
}

// A port that a packet does not have must not decide: fragments, other protocols.
func TestPortFlagNeedsAProtocolWithPorts(t *testing.T) {
	for _, name := range []string{"sh", "mh"} {
		s := mustNew(t, name, servers(1, 1, 1, 1, 1), Options{Flags: []string{"flag-2"}})
		r := from("198.51.100.1:0")
		want := s.Schedule(r)
		r.Tuple.Protocol = 47
		for port := range uint16(100) {
			r.Tuple.SrcPort = port
			if got := s.Schedule(r); got != want {
				t.Fatalf("%s: port %d of a protocol without ports decides", name, port)
			}
		}
	}
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

// Failing over one server after the other goes through them as the rule says,
// however many there are.
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
