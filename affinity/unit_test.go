package affinity

import (
	"math"
	"math/big"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/xlvs/xlvs/packet"
	"pgregory.net/rapid"
)

// slowHash is the formula of hash.go in integers without end.
func slowHash(s *secret, words ...uint64) Hash {
	sum := new(big.Int).SetUint64(s[0])
	for i := 0; i < len(words); i += 2 {
		a := new(big.Int).Add(new(big.Int).SetUint64(s[i+1]), new(big.Int).SetUint64(words[i]))
		b := new(big.Int).Add(new(big.Int).SetUint64(s[i+2]), new(big.Int).SetUint64(words[i+1]))
		sum.Add(sum, a.Mul(a, b))
	}
	sum.Rsh(sum, 32).And(sum, big.NewInt(math.MaxUint32))
	return scatter(uint32(sum.Uint64()))
}

// halves are the words of addresses, 32 bits each: one of an IPv4 address.
func halves(addrs ...packet.Addr) (words []uint64) {
	for _, a := range addrs {
		if a.Is4() {
			words = append(words, uint64(a.V4()))
		} else {
			words = append(words, a.Hi>>32, a.Hi&0xffffffff, a.Lo>>32, a.Lo&0xffffffff)
		}
	}
	return words
}

func TestHash(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		word := rapid.Uint64()
		var s secret
		for i := range s {
			s[i] = word.Draw(r, "secret")
		}
		tuple := packet.Tuple{
			Src: packet.Addr{Hi: word.Draw(r, "src"), Lo: word.Draw(r, "src")}, Dst: packet.Addr{Hi: word.Draw(r, "dst"), Lo: word.Draw(r, "dst")},
			SrcPort: rapid.Uint16().Draw(r, "sport"), DstPort: rapid.Uint16().Draw(r, "dport"), Protocol: packet.Protocol(rapid.Byte().Draw(r, "protocol")),
		}
		if rapid.Bool().Draw(r, "ipv4") {
			tuple.Src, tuple.Dst = packet.AddrFrom4(uint32(tuple.Src.Lo)), packet.AddrFrom4(uint32(tuple.Dst.Lo))
		}
		var k Key
		k.SetConn(&tuple)
		whole := append([]uint64{uint64(tuple.SrcPort)<<16 | uint64(tuple.DstPort), uint64(tuple.Protocol)}, halves(tuple.Src, tuple.Dst)...)
		if got, want := s.whole(&k), slowHash(&s, whole...); got != want {
			r.Fatalf("%v as a template: %#x, want %#x", tuple, got, want)
		}
		side := append(halves(tuple.Src), uint64(tuple.SrcPort)<<16|uint64(tuple.Protocol))
		if !tuple.Src.Is4() {
			side = append(side, 0)
		}
		if tuple.Protocol == protocolFragment {
			side = whole
		}
		if got, want := s.conn(&k), slowHash(&s, side...); got != want {
			r.Fatalf("%v as a connection: %#x, want %#x", tuple, got, want)
		}
		if c := listConn(&k, &Entry{}); c.Tuple != tuple && tuple.Protocol != protocolFragment {
			r.Fatalf("%v comes back as %v", tuple, c.Tuple)
		}
	})
}

// TestHashSpreads throws structured keys into bins and looks at the variance: that of
// random ones within a wide margin, for any secret.
func TestHashSpreads(t *testing.T) {
	const bins, n = 1024, 64 * 1024
	r := rand.New(rand.NewPCG(5, 6))
	sets := map[string]func(i int, k *Key, v6 bool){
		"addresses": func(i int, k *Key, v6 bool) { *k = clientKey(i*16, v6) },
		"ports": func(i int, k *Key, v6 bool) {
			c := client(0, v6)
			c.SrcPort = uint16(i)
			k.SetConn(&c)
		},
		"networks": func(i int, k *Key, v6 bool) { *k = networkKey(i*16*256, v6) },
		"marks":    func(i int, k *Key, v6 bool) { k.SetMark(client(0, v6).Src, uint32(i)) },
		"fragments": func(i int, k *Key, v6 bool) {
			c := client(0, v6)
			k.SetFragment(&c, uint32(i))
		},
	}
	for name, set := range sets {
		hash := (*secret).conn
		if name == "networks" || name == "marks" {
			hash = (*secret).whole
		}
		for _, v6 := range []bool{false, true} {
			for range 8 {
				var s secret
				for i := range s {
					s[i] = r.Uint64()
				}
				var count [bins]float64
				var k Key
				for i := range n {
					set(i, &k, v6)
					count[uint64(hash(&s, &k))*bins>>32]++
				}
				chi := 0.0
				for _, c := range count {
					chi += (c - n/bins) * (c - n/bins) / (n / bins)
				}
				// Mean 1023, standard deviation 45 for random keys.
				if chi > 1023+8*45 {
					t.Errorf("%s, IPv6 %v: chi square %.0f of 1023", name, v6, chi)
				}
			}
		}
	}
}

func TestTick(t *testing.T) {
	for timeout, want := range map[time.Duration]Tick{
		-1: 1, 0: 1, 1: 1, tickLength: 1, tickLength + 1: 2, time.Second: 8, 31 * 24 * time.Hour: 21_427_200, math.MaxInt64: 252_288_000,
	} {
		if got := Ticks(timeout); got != want {
			t.Errorf("%v is %d ticks, want %d", timeout, got, want)
		}
	}
	old, young := ^Tick(0)-3, Tick(4)
	if !young.After(old) || old.After(young) || old.After(old) || young.Since(old) != time.Second {
		t.Error("ticks compare wrongly at the wrap")
	}
	if got := TickAt(int64(time.Second)<<32/TicksPerSecond + int64(time.Second)); got != 8 {
		t.Errorf("a second after the wrap is tick %d", got)
	}
}

// TestLayout pins what layout.go promises to an XDP program.
func TestLayout(t *testing.T) {
	config := Config{Connections4: 10000, Connections6: 10000, Templates4: 100, Templates6: 100, Servers: 7}
	mem := heapMemory(config)
	tables, ids := format(t, mem, config, 3)
	lines, _ := viewLines(mem)
	tuple := packet.Tuple{Src: packet.AddrFrom4(0x01020304), Dst: packet.AddrFrom4(0x05060708), SrcPort: 0x1122, DstPort: 0x3344, Protocol: packet.UDP}
	var k Key
	k.SetConn(&tuple)
	tables.Conns.Insert(tables.Conns.Hash(&k), &k, &ConnInit{Server: ids[2], State: StateUDP, Grade: 3, Timeout: 5}, 0x100)

	// From here on as an XDP program would do it, from the header alone.
	first, buckets := lines[3][0].Load()&0xffffffff, lines[3][0].Load()>>32
	m := func(i int) uint64 { return lines[1+i/8][i%8].Load() }
	sum := m(0) + (m(1)+0x01020304)*(m(2)+0x11220011)
	home := uint64(scatter(uint32(sum>>32))) * buckets >> 32
	want := [4]uint64{0x1122334411000002, uint64(ids[2]), 0x105 | 0<<32 | 3<<36, 0x0102030405060708}
	for i, w := range want {
		if got := lines[first+home][i].Load(); got != w {
			t.Errorf("word %d is %#x, want %#x", i, got, w)
		}
	}
	word := lines[3][1].Load()*16 + home
	if got := uint32(lines[word/16][word%16/2].Load() >> (word % 2 * 32)); got != 1 {
		t.Errorf("the bucket word is %#x, want 1", got)
	}
}

// TestBytesByEntry: at the design load an IPv4 connection takes at most 64 bytes and
// an IPv6 one 96, and the tables take that many.
func TestBytesByEntry(t *testing.T) {
	const n = 50000
	config := Config{Connections4: n, Connections6: n, Servers: 1}
	tables, ids := format(t, heapMemory(config), config, 1)
	for _, v6 := range []bool{false, true} {
		for i := range n {
			k := clientKey(i, v6)
			init := ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: Assured, Timeout: 100}
			if _, o := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &init, 1); o != Inserted {
				t.Fatalf("connection %d of %d, IPv6 %v: %v", i, n, v6, o)
			}
		}
	}
	s := tables.Stats()
	by4, by6 := float64(s.Connections4.Bytes)/n, float64(s.Connections6.Bytes)/n
	t.Logf("%.1f bytes an IPv4 connection, %.1f an IPv6 one", by4, by6)
	if by4 > 64 || by6 > 96 {
		t.Errorf("%.1f and %.1f bytes", by4, by6)
	}
}

func TestNoAllocation(t *testing.T) {
	config := Config{Connections4: 1000, Connections6: 1000, Templates4: 1000, Templates6: 1000, Servers: 4}
	tables, ids := format(t, heapMemory(config), config, 1)
	n, timeouts := 0, lasting(500)
	for _, v6 := range []bool{false, true} {
		tuple := client(0, v6)
		allocs := testing.AllocsPerRun(1000, func() {
			n++
			setClient(&tuple, n*16, v6)
			var k, nk Key
			k.SetConn(&tuple)
			nk.SetMark(tuple.Src, 80)
			h, nh := tables.Conns.Hash(&k), tables.Templates.Hash(&nk)
			sink ^= tables.Conns.Touch(h, v6) ^ tables.Templates.Touch(nh, v6)
			te, _ := tables.Templates.Insert(nh, &nk, ids[0], Tick(n), 100)
			tables.Conns.Insert(h, &k, &ConnInit{Server: ids[0], State: StateTCPSynRecv, Timeout: 100}, Tick(n))
			e, _ := tables.Conns.Lookup(h, &k, Tick(n))
			tables.Conns.Update(&e, &anyMove, event(StateTCPEstablished), Tick(n), timeouts)
			tables.Templates.Assure(&te)
			tables.Conns.Hold(&e, &te)
			tables.Conns.RefreshTemplate(&e, Tick(n), 500)
			te, _ = tables.Templates.Lookup(nh, &nk, Tick(n))
			tables.Templates.Refresh(&te, Tick(n), 600)
			te, _ = tables.Templates.Rebind(te, ids[0]+1)
			tables.Conns.Delete(&e)
			k.SetFragment(&tuple, uint32(n))
			tables.Conns.SetFragment(tables.Conns.Hash(&k), &k, ids[0], &e, Tick(n), 100)
		})
		if allocs != 0 {
			t.Errorf("IPv6 %v: %v allocations a packet", v6, allocs)
		}
	}
}

// TestNoAllocationWithoutRoom: neither do insertions that displace others, or are refused.
func TestNoAllocationWithoutRoom(t *testing.T) {
	config := Config{Connections4: 200, Connections6: 0, Templates4: 1, Servers: 4}
	tables, ids := format(t, heapMemory(config), config, 1)
	tables.SetTimeouts(ids[0].Number(), &ipvsTimeouts)
	n := 0
	allocs := testing.AllocsPerRun(2000, func() {
		n++
		for _, v6 := range []bool{false, true} {
			k, port, nk := clientKey(n*16, v6), portKey(n, v6), networkKey(n*16, v6)
			init := ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: Grade(n % 8), Timeout: 7200}
			tables.Conns.Insert(tables.Conns.Hash(&k), &k, &init, Tick(n))
			tables.Conns.Insert(tables.Conns.Hash(&port), &port, &init, Tick(n))
			tables.Templates.Insert(tables.Templates.Hash(&nk), &nk, ids[0], Tick(n), 100)
		}
	})
	s := tables.Stats()
	if allocs != 0 || s.Connections4.Evicted == 0 || s.Connections4.Full == 0 || s.Connections6.Full == 0 {
		t.Errorf("%v allocations: %+v", allocs, s)
	}
}

// TestHotFunctionsInline compiles the package and fails if a function of every packet
// is no longer inlined.
func TestHotFunctionsInline(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, f := range []string{"(*Key).SetConn", "(*Key).SetMark", "(*Key).SetTemplate", "(*Key).set", "(*Conns).Hash", "(*Conns).Touch",
		"(*Templates).Touch", "(*table).home", "(*table).probe", "match", "matchAddresses6", "read", "settled", "expired", "scatter", "owns"} {
		if !strings.Contains(string(out), "can inline "+f+"\n") {
			t.Errorf("%s does not inline", f)
		}
	}
}

func TestStrings(t *testing.T) {
	if StateTCPSynRecv.String() != "SYN_RECV" || StateFragment.String() != "FRAGMENT" || State(0x1f).String() != "UNKNOWN" ||
		State(0xff).String() != "UNKNOWN" || PortFull.String() != "port_full" {
		t.Error("names")
	}
	active := map[State]bool{StateTCPSynSent: true, StateTCPSynRecv: true, StateTCPSynAck: true,
		StateTCPEstablished: true, StateSCTPEstablished: true}
	for s := range State(NumStates) {
		if s.Active() != active[s] {
			t.Errorf("%v active: %v", s, s.Active())
		}
	}
}
