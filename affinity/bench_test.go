package affinity

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/xlvs/xlvs/packet"
)

const benchBatch = 64

var sink uint64

// populate makes n connections and returns the memory's tables.
func populate(b *testing.B, n int, v6 bool) *Tables {
	config := Config{Servers: 16, Connections4: uint32(n), Templates4: 1024}
	if v6 {
		config = Config{Servers: 16, Connections6: uint32(n), Templates6: 1024}
	}
	t, ids := format(b, mappedMemory(b, config), config, 8)
	for i := range n {
		k := clientKey(i, v6)
		init := ConnInit{Server: ids[i%8], State: StateTCPEstablished, Grade: Assured, Timeout: Ticks(MaxTimeout)}
		if _, o := t.Conns.Insert(t.Conns.Hash(&k), &k, &init, 1); o != Inserted {
			b.Fatalf("connection %d of %d: %v", i, n, o)
		}
	}
	return t
}

// setClient changes a client's tuple to the nth client's.
func setClient(t *packet.Tuple, n int, v6 bool) {
	t.SrcPort = uint16(1024 + n%16)
	if v6 {
		t.Src.Hi = 0x20010db800000000 | uint64(n/16)<<8
	} else {
		t.Src.Lo = 0xffff0a000000 + uint64(n/16)
	}
}

// BenchmarkLookup is one lookup and refresh of a random connection, keys made and
// hashed before in staged=false, staged in batches of 64 in staged=true.
func BenchmarkLookup(b *testing.B) {
	for _, flows := range []int{4096, 1 << 20} {
		for _, family := range []string{"ipv4", "ipv6"} {
			v6 := family == "ipv6"
			var t *Tables
			for _, hit := range []bool{true, false} {
				for _, staged := range []bool{false, true} {
					name := fmt.Sprintf("family=%s/flows=%d/hit=%v/staged=%v", family, flows, hit, staged)
					b.Run(name, func(sub *testing.B) {
						if t == nil {
							t = populate(b, flows, v6)
						}
						benchLookup(sub, t, flows, v6, hit, staged)
					})
				}
			}
		}
	}
}

func benchLookup(b *testing.B, t *Tables, flows int, v6, hit, staged bool) {
	from := 0
	if !hit {
		from = flows
	}
	const n = 1 << 18
	r := rand.New(rand.NewPCG(1, 2))
	tuples := make([]uint32, n)
	for i := range tuples {
		tuples[i] = uint32(from + r.IntN(flows))
	}
	c := &t.Conns
	timeouts := lasting(Ticks(MaxTimeout))
	hits := 0
	var folded uint64
	tuple := client(0, v6)
	var keys [benchBatch]Key
	var hashes [benchBatch]Hash
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += benchBatch {
		at := i % n
		for j := range keys {
			setClient(&tuple, int(tuples[at+j]), v6)
			keys[j].SetConn(&tuple)
			hashes[j] = c.Hash(&keys[j])
		}
		if staged && !c.Cached() {
			folded ^= c.Stage(keys[:], hashes[:])
		}
		for j := range keys {
			e, ok := c.Lookup(hashes[j], &keys[j], 2)
			if ok {
				hits++
				c.Update(&e, &anyMove, stay, 2, timeouts)
				folded ^= uint64(e.Server())
			}
		}
	}
	sink ^= folded
	if (hits != 0) != hit {
		b.Fatalf("%d hits", hits)
	}
}
