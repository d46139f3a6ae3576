package marks_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
)

// walk is the oracle: the first rule that matches, -1 if none does.
func walk(rules []marks.Rule, p *packet.Parsed, ifindex uint32) int {
	if p.Kind == packet.KindOther {
		return -1
	}
	return slices.IndexFunc(rules, func(r marks.Rule) bool {
		return accepts(r.Protocols, p.Tuple.Protocol) &&
			within(r.Destinations, p.Tuple.Dst) &&
			within(r.Sources, p.Tuple.Src) &&
			inRange(r.DestinationPorts, p.Tuple.DstPort, p.Kind) &&
			inRange(r.SourcePorts, p.Tuple.SrcPort, p.Kind) &&
			accepts(r.Interfaces, ifindex) &&
			accepts(r.VLANs, p.VLAN) &&
			accepts(r.DSCPs, p.DSCP)
	})
}

func accepts[T comparable](list []T, v T) bool { return len(list) == 0 || slices.Contains(list, v) }

func within(list []netip.Prefix, a packet.Addr) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a.Netip()) })
}

func inRange(list []marks.Ports, port uint16, kind packet.Kind) bool {
	return len(list) == 0 || kind != packet.KindFragment &&
		slices.ContainsFunc(list, func(r marks.Ports) bool { return r.First <= port && port <= r.Last })
}

// Few values, close together, so that rules overlap and packets sit on edges.
var (
	protocols = rapid.SampledFrom([]packet.Protocol{packet.TCP, packet.UDP, packet.SCTP})
	ports     = rapid.OneOf(rapid.Uint16Range(0, 5), rapid.Uint16Range(78, 82), rapid.Uint16Range(65533, 65535))
	indices   = rapid.Uint32Range(1, 4)
	vlans     = rapid.SampledFrom([]uint16{0, 1, 2, 4094})
	dscps     = rapid.SampledFrom([]uint8{0, 1, 46, 63})
	addrs     = rapid.Custom(func(t *rapid.T) netip.Addr {
		low := rapid.SampledFrom([]byte{0, 1, 2, 3, 127, 128, 255})
		b := [4]byte{rapid.SampledFrom([]byte{10, 11}).Draw(t, "a"), 0, low.Draw(t, "b"), low.Draw(t, "c")}
		if rapid.Bool().Draw(t, "4") {
			return netip.AddrFrom4(b)
		}
		return netip.AddrFrom16([16]byte{0: 0x20, 1: b[0], 7: b[2], 15: b[3]})
	})
	prefixes = rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := addrs.Draw(t, "address")
		lengths := []int{0, 7, 8, 16, 23, 24, 30, 31, 32}
		if a.Is6() {
			lengths = append(lengths, 64, 127, 128)
		}
		return netip.PrefixFrom(a, rapid.SampledFrom(lengths).Draw(t, "length"))
	})
	ranges = rapid.Custom(func(t *rapid.T) marks.Ports {
		a, b := ports.Draw(t, "first"), ports.Draw(t, "last")
		return marks.Ports{First: min(a, b), Last: max(a, b)}
	})
	rule = rapid.Custom(func(t *rapid.T) marks.Rule {
		return marks.Rule{
			Mark:             marks.Mark(rapid.Uint32Range(0, 9).Draw(t, "mark")),
			Protocols:        some(t, "protocols", protocols),
			Destinations:     some(t, "destinations", prefixes),
			Sources:          some(t, "sources", prefixes),
			DestinationPorts: some(t, "destination ports", ranges),
			SourcePorts:      some(t, "source ports", ranges),
			Interfaces:       some(t, "interfaces", indices),
			VLANs:            some(t, "vlans", vlans),
			DSCPs:            some(t, "dscps", dscps),
		}
	})
	parsed = rapid.Custom(func(t *rapid.T) packet.Parsed {
		p := packet.Parsed{
			Kind: packet.Kind(rapid.IntRange(0, int(packet.KindError)).Draw(t, "kind")),
			VLAN: vlans.Draw(t, "vlan"), DSCP: dscps.Draw(t, "dscp"),
		}
		p.Tuple = packet.Tuple{
			Src: packet.AddrFrom(addrs.Draw(t, "source")), Dst: packet.AddrFrom(addrs.Draw(t, "destination")),
			Protocol: protocols.Draw(t, "protocol"),
		}
		if p.Kind != packet.KindFragment {
			p.Tuple.SrcPort, p.Tuple.DstPort = ports.Draw(t, "source port"), ports.Draw(t, "destination port")
		}
		return p
	})
)

// some is an empty list mostly, so that not every rule looks at everything.
func some[T any](t *rapid.T, name string, g *rapid.Generator[T]) []T {
	if rapid.IntRange(0, 2).Draw(t, name) > 0 {
		return nil
	}
	return rapid.SliceOfN(g, 1, 4).Draw(t, name)
}

// TestMatchIsTheFirstRuleThatMatches holds compiled rules against a plain walk.
func TestMatchIsTheFirstRuleThatMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := spread(rapid.SliceOfN(rule, 0, 12).Draw(t, "rules"), rapid.SampledFrom([]int{0, 0, 1, 5, 31, 63, 64}).Draw(t, "gap"))
		compiled, err := marks.Compile(rules)
		if err != nil {
			t.Fatalf("compile: %v", err)
		}
		for range 20 {
			p, ifindex := parsed.Draw(t, "packet"), indices.Draw(t, "interface")
			agree(t, rules, compiled, &p, ifindex)
		}
	})
}

// spread puts a gap of rules that match no packet here before each rule, so that
// few rules take many words. The DSCP alone keeps them from matching.
func spread(rules []marks.Rule, gap int) (spread []marks.Rule) {
	for _, r := range rules {
		for range gap {
			spread = append(spread, marks.Rule{Mark: 99, DSCPs: []uint8{7}})
		}
		spread = append(spread, r)
	}
	return spread
}

func agree(t rapid.TB, rules []marks.Rule, compiled *marks.Rules, p *packet.Parsed, ifindex uint32) {
	t.Helper()
	want := walk(rules, p, ifindex)
	got, ok := compiled.Explain(p, ifindex)
	if ok != (want >= 0) || ok && got != want {
		t.Fatalf("rule %d %v, want %d", got, ok, want)
	}
	wantMark := marks.Mark(0)
	if want >= 0 {
		wantMark = rules[want].Mark
	}
	if mark := compiled.Match(p, ifindex); mark != wantMark {
		t.Fatalf("mark %d, want %d", mark, wantMark)
	}
}

// TestMostRules has as many rules as are possible, each for one address and
// port, and hits rules in all of their words.
func TestMostRules(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		rules := manyRules(marks.MaxRules, v6)
		compiled, err := marks.Compile(rules)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(rules); i += 37 {
			p := hit(rules, i)
			agree(t, rules, compiled, &p, 1)
			p.Tuple.DstPort++
			agree(t, rules, compiled, &p, 1)
		}
	}
}

func TestZeroRulesMarkNothing(t *testing.T) {
	empty, err := marks.Compile(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*marks.Rules{empty, {}} {
		if got := r.Match(&packet.Parsed{Kind: packet.KindFlow}, 1); got != 0 {
			t.Errorf("mark %d, want 0", got)
		}
	}
}

func TestCompileSaysWhichRuleIsWrong(t *testing.T) {
	prefix := netip.MustParsePrefix
	tests := []struct {
		name string
		rule marks.Rule
		want string
	}{
		{"protocol", marks.Rule{Protocols: []packet.Protocol{packet.ICMP}}, "protocol 1"},
		{"no prefix", marks.Rule{Sources: []netip.Prefix{{}}}, "not valid"},
		{"mapped prefix", marks.Rule{Destinations: []netip.Prefix{prefix("::ffff:10.0.0.0/104")}}, "write it as IPv4"},
		{"ports", marks.Rule{SourcePorts: []marks.Ports{{First: 2, Last: 1}}}, "ports 2-1"},
		{"interface", marks.Rule{Interfaces: []uint32{0}}, "interface index 0"},
		{"VLAN", marks.Rule{VLANs: []uint16{4095}}, "VLAN 4095"},
		{"DSCP", marks.Rule{DSCPs: []uint8{64}}, "DSCP 64"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := marks.Compile([]marks.Rule{{}, test.rule})
			var ruleErr *marks.RuleError
			if !errors.As(err, &ruleErr) || ruleErr.Index != 1 || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want rule 2 and %q", err, test.want)
			}
		})
	}
}

// TestCompileHasLimits takes what each limit allows, and nothing beyond it.
func TestCompileHasLimits(t *testing.T) {
	tests := []struct {
		limit int
		rules func(n int) []marks.Rule
		want  string
	}{
		{marks.MaxRules, func(n int) []marks.Rule { return make([]marks.Rule, n) }, "4097 rules"},
		{marks.MaxInterfaces, func(n int) []marks.Rule {
			r := marks.Rule{}
			for i := range n {
				r.Interfaces = append(r.Interfaces, uint32(i+1))
			}
			return []marks.Rule{r}
		}, "65 interfaces"},
		{marks.MaxConditions, func(n int) []marks.Rule {
			return []marks.Rule{{Sources: slices.Repeat([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, n)}}
		}, "65537 sources"},
		{marks.MaxConditions, func(n int) []marks.Rule {
			return []marks.Rule{{DestinationPorts: make([]marks.Ports, n)}}
		}, "65537 destination ports"},
	}
	for _, test := range tests {
		if _, err := marks.Compile(test.rules(test.limit)); err != nil {
			t.Errorf("%d: %v", test.limit, err)
		}
		if _, err := marks.Compile(test.rules(test.limit + 1)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %q, want %q", err, test.want)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		rules := manyRules(100, v6)
		compiled, err := marks.Compile(rules)
		if err != nil {
			t.Fatal(err)
		}
		p := hit(rules, 50)
		if n := testing.AllocsPerRun(100, func() { compiled.Match(&p, 1) }); n != 0 {
			t.Errorf("%v allocations a match, want 0", n)
		}
	}
}

// manyRules are n rules of a protocol, an address and two ports each.
func manyRules(n int, v6 bool) []marks.Rule {
	rules := make([]marks.Rule, n)
	for i := range rules {
		port := uint16(i%7)*1000 + 80
		rules[i] = marks.Rule{
			Mark:             marks.Mark(i + 1),
			Protocols:        []packet.Protocol{packet.TCP},
			Destinations:     []netip.Prefix{hostPrefix(i/2, v6)},
			DestinationPorts: []marks.Ports{marks.Port(port), {First: port + 363, Last: port + 400}},
		}
	}
	return rules
}

func hostPrefix(i int, v6 bool) netip.Prefix {
	if v6 {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 6: byte(i >> 8), 7: byte(i), 15: 1}), 128)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 32)
}

// hit is a packet that rule i of manyRules matches.
func hit(rules []marks.Rule, i int) packet.Parsed {
	dst := rules[i].Destinations[0].Addr()
	src := netip.MustParseAddr("192.0.2.1")
	if dst.Is6() {
		src = netip.MustParseAddr("2001:db8:1::1")
	}
	return packet.Parsed{Kind: packet.KindFlow, Tuple: packet.Tuple{
		Src: packet.AddrFrom(src), Dst: packet.AddrFrom(dst), Protocol: packet.TCP,
		SrcPort: 1024, DstPort: rules[i].DestinationPorts[0].First,
	}}
}

func BenchmarkMatch(b *testing.B) {
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, kind := range []string{"host", "prefix"} {
			for _, n := range []int{1, 10, 100, 1000} {
				rules := manyRules(n, family == "ipv6")
				hits := make([]packet.Parsed, 64)
				for i := range hits {
					hits[i] = hit(rules, i*n/len(hits))
				}
				if kind == "prefix" {
					widen(rules)
				}
				byPort, byAddress := slices.Clone(hits), slices.Clone(hits)
				for i := range hits {
					byPort[i].Tuple.DstPort = 22
					byAddress[i].Tuple.Dst = packet.AddrFrom(elsewhere(family == "ipv6"))
				}
				name := fmt.Sprintf("family=%s/destination=%s/rules=%d/", family, kind, n)
				benchmarkMatch(b, name+"hit", rules, hits)
				benchmarkMatch(b, name+"miss=port", rules, byPort)
				benchmarkMatch(b, name+"miss=address", rules, byAddress)
			}
		}
	}
}

// elsewhere is an address that no rule of manyRules names.
func elsewhere(v6 bool) netip.Addr {
	if v6 {
		return netip.MustParseAddr("2001:db8:ffff:ffff::1")
	}
	return netip.MustParseAddr("203.0.255.255")
}

// widen makes a network of each rule's destination.
func widen(rules []marks.Rule) {
	for i := range rules {
		bits := 31
		if rules[i].Destinations[0].Addr().Is6() {
			bits = 64
		}
		rules[i].Destinations[0] = netip.PrefixFrom(rules[i].Destinations[0].Addr(), bits)
	}
}

func benchmarkMatch(b *testing.B, name string, rules []marks.Rule, packets []packet.Parsed) {
	compiled, err := marks.Compile(rules)
	if err != nil {
		b.Fatal(err)
	}
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			compiled.Match(&packets[i%len(packets)], 1)
			i++
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{1, 1000, marks.MaxRules} {
		rules := manyRules(n, false)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := marks.Compile(rules); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
