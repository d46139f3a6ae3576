package sched

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
	"pgregory.net/rapid"
)

// kernelMaglev is ip_vs_mh_permutate and ip_vs_mh_populate line by line.
func kernelMaglev(reals []*service.RealServer, size uint32, index int) []*service.RealServer {
	w := walk(reals)
	g, heaviest := uint32(0), uint32(0)
	for _, r := range w {
		g, heaviest = gcd(g, uint32(r.LastWeight)), max(heaviest, uint32(r.LastWeight))
	}
	if g < 1 {
		return nil
	}
	rshift := max(0, bits.Len32(heaviest/g)-index/2)
	type setup struct{ skip, perm, turns uint32 }
	ds := make([]setup, len(w))
	for i, r := range w {
		v := fold(packet.AddrFrom(r.Addr)) + uint32(r.Port)
		ds[i].perm = hsiphash(v, 2654435761) % size
		ds[i].skip = hsiphash(v, 2654446892)%(size-1) + 1
		ds[i].turns = uint32(r.LastWeight) / g >> rshift
		if ds[i].turns == 0 && r.LastWeight != 0 {
			ds[i].turns = 1
		}
	}
	table := make([]*service.RealServer, size)
	n, count := uint32(0), uint32(0)
	for {
		for p := 0; p < len(w); {
			if ds[p].turns < 1 {
				p++
				continue
			}
			c := ds[p].perm
			for table[c] != nil {
				ds[p].perm += ds[p].skip
				if ds[p].perm >= size {
					ds[p].perm -= size
				}
				c = ds[p].perm
			}
			table[c] = w[p]
			if n++; n == size {
				return table
			}
			if count++; count >= ds[p].turns {
				count = 0
				p++
			}
		}
	}
}

func TestMaglevAgainstKernelsAlgorithm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		index := rapid.IntRange(8, 12).Draw(t, "index")
		reals := servers(rapid.SliceOfN(rapid.OneOf(weight, rapid.Int32Range(0, 300)), 0, 12).Draw(t, "weights")...)
		for _, r := range reals {
			if rapid.IntRange(0, 4).Draw(t, "quiesced") == 0 {
				r.Weight = 0
			}
		}
		disturb(t, reals)
		fallback := rapid.Bool().Draw(t, "fallback")
		opt := Options{MaglevIndex: index}
		if fallback {
			opt.Flags = []string{"mh-fallback"}
		}
		s := mustNewRapid(t, "mh", reals, opt)
		size := []uint32{251, 509, 1021, 2039, 4093}[index-8]
		table := kernelMaglev(reals, size, index)
		for range 20 {
			r := from("198.51.100.1:4000")
			r.Tuple.Src.Lo ^= uint64(rapid.Uint32().Draw(t, "client"))
			hash := func(offset uint32) uint32 { return hsiphash(offset+r.Tuple.Src.V4(), 2654435761) % size }
			if got, want := s.Schedule(r), hashOracle(table, hash, fallback); got != want {
				t.Fatalf("client %v: chose %d, want %d", r.Tuple.Src, lastByte(got), lastByte(want))
			}
		}
	})
}

// placement is where a set of random clients goes.
func placement(s service.Scheduler, clients int) []int {
	random := rand.New(rand.NewPCG(7, 7))
	r := from("198.51.100.1:4000")
	placed := make([]int, clients)
	for i := range placed {
		r.Tuple.Src = packet.AddrFrom4(random.Uint32())
		placed[i] = lastByte(s.Schedule(r))
	}
	return placed
}

// A server that goes must take few of the other servers' clients with it: with 4093 slots
// and up to 100 servers, at most one in 25 beside its own. All clients of the server that
// is gone move.
func TestMaglevRemovalMovesFewClients(t *testing.T) {
	const clients = 100_000
	for _, n := range []int{2, 3, 10, 50, 100} {
		weights := make([]int32, n)
		for i := range weights {
			weights[i] = 1
		}
		reals := servers(weights...)
		before := placement(mustNew(t, "mh", reals, Options{}), clients)
		for gone := range n {
			if gone > 3 && gone < n-1 {
				continue
			}
			rest := append(append([]*service.RealServer{}, reals[:gone]...), reals[gone+1:]...)
			after := placement(mustNew(t, "mh", rest, Options{}), clients)
			own, others := 0, 0
			for i := range before {
				switch {
				case before[i] == 11+gone:
					own++
				case before[i] != after[i]:
					others++
				}
			}
			t.Logf("%d servers, %d gone: own share %.4f, others moved %.4f", n, gone, float64(own)/clients, float64(others)/clients)
			if others > clients/25 {
				t.Errorf("%d servers: without server %d, %d of %d other clients move", n, gone, others, clients-own)
			}
			if want := clients / n; own > want*11/10 || own < want*9/10 {
				t.Errorf("%d servers: server %d has %d clients, want %d", n, gone, own, want)
			}
		}
	}
}

// A quiesced server keeps its slots: nobody but its own clients moves, and they spread over
// the others with mh-fallback, and have no server without.
func TestMaglevQuiescingMovesNobodyElse(t *testing.T) {
	const clients = 100_000
	reals := servers(1, 2, 3, 4)
	before := placement(mustNew(t, "mh", reals, Options{}), clients)
	quiesced := reweighted(reals, 1, 2, 0, 4)
	fallback := placement(mustNew(t, "mh", quiesced, Options{Flags: []string{"mh-fallback"}}), clients)
	refused := placement(mustNew(t, "mh", quiesced, Options{}), clients)
	took := map[int]int{}
	for i, was := range before {
		switch {
		case was != 13 && (fallback[i] != was || refused[i] != was):
			t.Fatalf("a client of %d moved to %d (with fallback), %d (without)", was, fallback[i], refused[i])
		case was == 13 && refused[i] != 0:
			t.Fatalf("without mh-fallback a client of the quiesced server goes to %d", refused[i])
		case was == 13:
			took[fallback[i]]++
		}
	}
	if took[0] != 0 || took[13] != 0 {
		t.Errorf("%d clients of the quiesced server have none, %d still have it", took[0], took[13])
	}
	for server, share := range map[int]float64{11: 1. / 7, 12: 2. / 7, 14: 4. / 7} {
		total := took[11] + took[12] + took[14]
		if got := float64(took[server]) / float64(total); got < share*0.9 || got > share*1.1 {
			t.Errorf("server %d took %.3f of the quiesced server's clients, want about %.3f", server, got, share)
		}
	}
	// Back again, everybody is where he was.
	if again := placement(mustNew(t, "mh", reweighted(quiesced, 1, 2, 3, 4), Options{}), clients); !slices.Equal(again, before) {
		t.Error("after the server has its weight again, clients are not where they were")
	}
}
