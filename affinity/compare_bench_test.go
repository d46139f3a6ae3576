package affinity

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/xlvs/xlvs/service"
)

// benchTemplates is how many templates the comparison looks up among.
const benchTemplates = 1 << 20

// BenchmarkTemplateLookup compares a template lookup of a million random clients,
// keys and hashes made included, with what others take for a uint64 key, in the same run.
// Ristretto stores what its admission lets in; its misses count like its hits.
func BenchmarkTemplateLookup(b *testing.B) {
	order := make([]uint32, 1<<18)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range order {
		order[i] = r.Uint32N(benchTemplates)
	}
	t := populateTemplates(b)
	b.Run("table=affinity", func(b *testing.B) { benchAffinity(b, t, order, false) })
	b.Run("table=affinity/staged", func(b *testing.B) { benchAffinity(b, t, order, true) })

	cache := newRistretto(b, benchTemplates, false)
	defer cache.Close()
	var m sync.Map
	for n := range uint64(benchTemplates) {
		m.Store(n, service.ID(n))
		cache.SetWithTTL(n, service.ID(n), 1, time.Hour)
		if n%4096 == 0 {
			cache.Wait()
		}
	}
	cache.Wait()
	b.Run("interleaved", func(b *testing.B) { benchRatio(b, t, cache, order) })
	b.Run("table=ristretto", func(b *testing.B) { benchGet(b, order, func(n uint64) { cache.Get(n) }) })
	b.Run("table=sync.Map", func(b *testing.B) { benchGet(b, order, func(n uint64) { m.Load(n) }) })
}

// populateTemplates makes a million templates.
func populateTemplates(b *testing.B) *Tables {
	config := Config{Templates4: benchTemplates, Servers: 16}
	t, ids := format(b, mappedMemory(b, config), config, 8)
	for n := range benchTemplates {
		k := networkKey(n*16, false)
		if _, o := t.Templates.Insert(t.Templates.Hash(&k), &k, ids[n%8], 1, 1000); o != Inserted {
			b.Fatal(o)
		}
	}
	return t
}

func benchAffinity(b *testing.B, t *Tables, order []uint32, staged bool) {
	var kept atomic.Uint64
	b.RunParallel(func(pb *testing.PB) {
		tuple := client(0, false)
		var keys [benchBatch]Key
		var hashes [benchBatch]Hash
		at, folded := int(rand.Uint32())&^(benchBatch-1), uint64(0)
		for pb.Next() {
			i := at % benchBatch
			if i == 0 {
				for j := range keys {
					setClient(&tuple, int(order[(at+j)%len(order)])*16, false)
					keys[j].SetMark(tuple.Src, 80)
					hashes[j] = t.Templates.Hash(&keys[j])
				}
				if staged {
					folded ^= t.Templates.StageNew(keys[:], hashes[:])
				}
			}
			e, ok := t.Templates.Lookup(hashes[i], &keys[i], 2)
			if !ok {
				b.Error("miss")
			}
			folded ^= uint64(e.Server())
			at++
		}
		kept.Add(folded)
	})
	b.ReportMetric(float64(t.Stats().Templates4.Bytes)/benchTemplates, "bytes/entry")
}

// benchRatio takes turns, a batch each, and reports the medians of batches on one
// thread: the ratio of the two holds on a machine that is busy with other things, too.
func benchRatio(b *testing.B, t *Tables, cache *ristretto.Cache[uint64, service.ID], order []uint32) {
	var ours, theirs []float64
	tuple := client(0, false)
	var keys [benchBatch]Key
	var hashes [benchBatch]Hash
	for at := 0; b.Loop(); at = (at + 2*benchBatch) % (len(order) - 2*benchBatch) {
		start := time.Now()
		for j := range keys {
			setClient(&tuple, int(order[at+j])*16, false)
			keys[j].SetMark(tuple.Src, 80)
			hashes[j] = t.Templates.Hash(&keys[j])
		}
		sink ^= t.Templates.StageNew(keys[:], hashes[:])
		for j := range keys {
			e, _ := t.Templates.Lookup(hashes[j], &keys[j], 2)
			sink ^= uint64(e.Server())
		}
		middle := time.Now()
		for _, n := range order[at+benchBatch : at+2*benchBatch] {
			id, _ := cache.Get(uint64(n))
			sink ^= uint64(id)
		}
		ours = append(ours, float64(middle.Sub(start).Nanoseconds())/benchBatch)
		theirs = append(theirs, float64(time.Since(middle).Nanoseconds())/benchBatch)
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	b.ReportMetric(ours[len(ours)/2], "ns/lookup")
	b.ReportMetric(theirs[len(theirs)/2], "ns/ristretto")
	b.ReportMetric(theirs[len(theirs)/2]/ours[len(ours)/2], "times")
}

func newRistretto(tb testing.TB, entries int64, metrics bool) *ristretto.Cache[uint64, service.ID] {
	tb.Helper()
	cache, err := ristretto.NewCache(&ristretto.Config[uint64, service.ID]{
		NumCounters: 10 * entries, MaxCost: entries, BufferItems: 64, IgnoreInternalCost: true, Metrics: metrics,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return cache
}

func benchGet(b *testing.B, order []uint32, get func(uint64)) {
	b.RunParallel(func(pb *testing.PB) {
		for at := int(rand.Uint32()); pb.Next(); at++ {
			get(uint64(order[at%len(order)]))
		}
	})
}

// BenchmarkInsert is a new client: two misses, a template and a connection inserted, the
// connection holding the template, and later their end, which is not timed.
func BenchmarkInsert(b *testing.B) {
	for _, flows := range []int{4096, 1 << 20} {
		for _, family := range []string{"ipv4", "ipv6"} {
			b.Run(fmt.Sprintf("family=%s/flows=%d", family, flows), func(b *testing.B) { benchInsert(b, flows, family == "ipv6") })
		}
	}
}

func benchInsert(b *testing.B, flows int, v6 bool) {
	n := uint32(flows)
	config := Config{Connections4: n, Templates4: n, Servers: 16}
	if v6 {
		config = Config{Connections6: n, Templates6: n, Servers: 16}
	}
	t, ids := format(b, mappedMemory(b, config), config, 8)
	tuple := client(0, v6)
	var keys, nets [benchBatch]Key
	var hashes, netHashes [benchBatch]Hash
	b.ReportAllocs()
	b.ResetTimer()
	now := Tick(1)
	for i := 0; i < b.N; i += benchBatch {
		if i%flows == 0 && i > 0 {
			b.StopTimer()
			now += 1000
			for live := true; live; { // holders first, then held
				pass(t, now)
				s := t.Stats()
				live = s.Connections4.Live+s.Connections6.Live+s.Templates4.Live+s.Templates6.Live > 0
			}
			b.StartTimer()
		}
		for j := range keys {
			setClient(&tuple, (i+j)%flows*16, v6)
			keys[j].SetConn(&tuple)
			nets[j].SetMark(tuple.Src, 80)
			hashes[j], netHashes[j] = t.Conns.Hash(&keys[j]), t.Templates.Hash(&nets[j])
		}
		sink ^= t.Conns.Stage(keys[:], hashes[:]) ^ t.Templates.StageNew(nets[:], netHashes[:])
		for j := range keys {
			if _, ok := t.Conns.Lookup(hashes[j], &keys[j], now); ok {
				b.Fatal("hit")
			}
			te, ok := t.Templates.Lookup(netHashes[j], &nets[j], now)
			if !ok {
				te, _ = t.Templates.Insert(netHashes[j], &nets[j], ids[j%8], now, 500)
			}
			if _, o := t.Conns.Insert(hashes[j], &keys[j], &ConnInit{Server: te.Server(), State: StateTCPSynRecv, Timeout: 500}, now); o != Inserted {
				b.Fatal(o)
			}
		}
	}
}
