package affinity

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkOnePort is one lookup among connections of which so many have one client port, as a
// proxy's have; half a million in all, staged in batches. hit=false is a further connection of
// the same port, which is not there: it looks at all of them.
func BenchmarkOnePort(b *testing.B) {
	const flows = 1 << 19
	for _, v6 := range []bool{false, true} {
		for _, each := range []int{1, 8, 36, 62} {
			var t *Tables
			for _, hit := range []bool{true, false} {
				name := fmt.Sprintf("family=%s/port=%d/hit=%v", map[bool]string{true: "ipv6", false: "ipv4"}[v6], each, hit)
				b.Run(name, func(sub *testing.B) {
					if t == nil {
						t = populatePorts(b, flows, each, v6)
					}
					benchOnePort(sub, t, flows, each, v6, hit)
				})
			}
		}
	}
}

// sharedKey is the key of connection n, of which so many have one client port.
func sharedKey(n, each int, v6 bool) (k Key) {
	t := client(n/each*16, v6)
	t.DstPort = uint16(n % each)
	k.SetConn(&t)
	return k
}

func populatePorts(b *testing.B, flows, each int, v6 bool) *Tables {
	config := Config{Servers: 16, Connections4: uint32(flows), Connections6: uint32(flows)}
	t, ids := format(b, mappedMemory(b, config), config, 8)
	refused := 0
	for n := range flows {
		k := sharedKey(n, each, v6)
		init := ConnInit{Server: ids[n%8], State: StateTCPEstablished, Grade: Lasting, Timeout: Ticks(MaxTimeout)}
		if _, o := t.Conns.Insert(t.Conns.Hash(&k), &k, &init, 1); o != Inserted {
			refused++
		}
	}
	b.Logf("%d of %d refused", refused, flows)
	return t
}

func benchOnePort(b *testing.B, t *Tables, flows, each int, v6, hit bool) {
	r := rand.New(rand.NewPCG(1, 2))
	order := make([]uint32, 1<<16)
	for i := range order {
		order[i] = uint32(r.IntN(flows))
	}
	c := &t.Conns
	var keys [benchBatch]Key
	var hashes [benchBatch]Hash
	found := 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i += benchBatch {
		b.StopTimer()
		for j := range keys {
			n := int(order[(i+j)%len(order)])
			keys[j] = sharedKey(n, each, v6)
			if !hit {
				tuple := client(n/each*16, v6)
				tuple.DstPort = uint16(10_000 + n%50_000)
				keys[j].SetConn(&tuple)
			}
			hashes[j] = c.Hash(&keys[j])
		}
		b.StartTimer()
		sink ^= c.Stage(keys[:], hashes[:])
		for j := range keys {
			if _, ok := c.Lookup(hashes[j], &keys[j], 2); ok {
				found++
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBatch), "ns/lookup")
	if (found != 0) != hit {
		b.Fatalf("%d found", found)
	}
}

// BenchmarkFull is one insertion into a full table, of keys that are new each time: what
// is=refused has nothing that gives way; is=unassured are first packets that displace
// first packets; is=assured displace what had two packets.
func BenchmarkFull(b *testing.B) {
	const room = 1 << 20
	for _, c := range []struct {
		is    string
		grade Grade
	}{{"refused", Lasting}, {"unassured", Unassured}, {"assured", Assured}} {
		b.Run("is="+c.is, func(b *testing.B) {
			config := Config{Servers: 4, Connections4: room}
			t, ids := format(b, mappedMemory(b, config), config, 1)
			t.SetTimeouts(ids[0].Number(), &ipvsTimeouts)
			init := ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: c.grade, Timeout: 7200}
			insert := func(n int, now Tick) Outcome {
				k := clientKey(n*16, false)
				_, o := t.Conns.Insert(t.Conns.Hash(&k), &k, &init, now)
				return o
			}
			for n := range room {
				insert(n, Tick(1+n/1000))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				insert(room+n, Tick(2000+n/10_000)) // 80,000 a second
			}
			b.StopTimer()
			s := t.Stats().Connections4
			if refused := c.grade == Lasting; s.Full == uint64(b.N) != refused || s.Evicted == uint64(b.N) == refused {
				b.Fatalf("%+v", s)
			}
		})
	}
}
