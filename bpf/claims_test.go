package bpf

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/xlvs/xlvs/internal/packettest"
)

// flow is a packet as rules see it.
type flow struct {
	protocol         Protocols
	src, dst         netip.Addr
	srcPort, dstPort uint16
	ifindex          int
	vlan             uint16
	dscp             uint8
	quoted           bool // in an ICMP error, whose path is not the flow's
}

// claimed is what Rule and Service promise, by a plain walk over both.
func claimed(rules []Rule, services []Service, f flow) bool {
	for i := range rules {
		if matches(&rules[i], f) {
			if rules[i].Claimed {
				return true
			}
			break
		}
	}
	return slices.ContainsFunc(services, func(s Service) bool {
		if s.Protocol != f.protocol || s.Addr != f.dst {
			return false
		}
		data := f.dstPort == 20 || f.dstPort >= 1024
		return s.Port == 0 || s.Port == f.dstPort || s.FTP && data
	})
}

func matches(r *Rule, f flow) bool {
	contains := func(list []netip.Prefix, a netip.Addr) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	within := func(list []PortRange, port uint16) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(r PortRange) bool { return r.First <= port && port <= r.Last })
	}
	if r.Protocols != 0 && r.Protocols&f.protocol == 0 ||
		!contains(r.Destinations, f.dst) || !contains(r.Sources, f.src) ||
		!within(r.DestinationPorts, f.dstPort) || !within(r.SourcePorts, f.srcPort) {
		return false
	}
	if f.quoted {
		return r.Claimed || len(r.Interfaces)+len(r.VLANs)+len(r.DSCPs) == 0
	}
	return (len(r.Interfaces) == 0 || slices.Contains(r.Interfaces, f.ifindex)) &&
		(len(r.VLANs) == 0 || slices.Contains(r.VLANs, f.vlan)) &&
		(len(r.DSCPs) == 0 || slices.Contains(r.DSCPs, f.dscp))
}

// world is what the generators draw from: few values, so that they meet.
type world struct {
	addrs      []netip.Addr
	prefixBits map[bool][]int // by Is4
	ports      []uint16
	interfaces []int
}

func newWorld(interfaces ...int) *world {
	w := &world{
		prefixBits: map[bool][]int{true: {0, 1, 8, 16, 24, 31, 32}, false: {0, 32, 48, 64, 65, 127, 128}},
		ports:      []uint16{0, 1, 20, 21, 22, 53, 80, 81, 443, 1023, 1024, 40000, 65534, 65535},
		interfaces: interfaces,
	}
	for _, a := range []string{
		"10.0.0.1", "10.0.0.2", "10.0.1.1", "10.1.0.1", "203.0.113.10",
		"2001:db8::1", "2001:db8::2", "2001:db8:0:0:8000::1", "2001:db8:1::1", "fd00::1",
	} {
		w.addrs = append(w.addrs, netip.MustParseAddr(a))
	}
	return w
}

func (w *world) prefix() *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := rapid.SampledFrom(w.addrs).Draw(t, "addr")
		return netip.PrefixFrom(a, rapid.SampledFrom(w.prefixBits[a.Is4()]).Draw(t, "bits"))
	})
}

func (w *world) portRange() *rapid.Generator[PortRange] {
	return rapid.Custom(func(t *rapid.T) PortRange {
		a, b := rapid.SampledFrom(w.ports).Draw(t, "port"), rapid.SampledFrom(w.ports).Draw(t, "port")
		return PortRange{min(a, b), max(a, b)}
	})
}

// few draws a list that is empty half of the time.
func few[T any](t *rapid.T, g *rapid.Generator[T], label string) []T {
	if rapid.Bool().Draw(t, "any "+label) {
		return nil
	}
	return rapid.SliceOfN(g, 1, 3).Draw(t, label)
}

var vlans = []uint16{0, 5, 6, 4094}

func (w *world) rule() *rapid.Generator[Rule] {
	return rapid.Custom(func(t *rapid.T) Rule {
		r := Rule{
			Protocols:        Protocols(rapid.IntRange(0, int(allProtocols)).Draw(t, "protocols")),
			Destinations:     few(t, w.prefix(), "destinations"),
			DestinationPorts: few(t, w.portRange(), "ports"),
			Claimed:          rapid.Bool().Draw(t, "claimed"),
		}
		if rapid.Bool().Draw(t, "conditional") {
			r.Sources = few(t, w.prefix(), "sources")
			r.SourcePorts = few(t, w.portRange(), "source ports")
			r.Interfaces = few(t, rapid.SampledFrom(w.interfaces), "interfaces")
			r.VLANs = few(t, rapid.SampledFrom(vlans), "vlans")
			r.DSCPs = few(t, rapid.Uint8Range(0, 63), "dscps")
		}
		return r
	})
}

func (w *world) service() *rapid.Generator[Service] {
	return rapid.Custom(func(t *rapid.T) Service {
		s := Service{
			Protocol: rapid.SampledFrom([]Protocols{TCP, UDP, SCTP}).Draw(t, "protocol"),
			Addr:     rapid.SampledFrom(w.addrs).Draw(t, "addr"),
			Port:     rapid.SampledFrom(w.ports).Draw(t, "port"),
		}
		s.FTP = s.Protocol == TCP && s.Port == 21 && rapid.Bool().Draw(t, "ftp")
		return s
	})
}

func (w *world) flow() *rapid.Generator[flow] {
	return rapid.Custom(func(t *rapid.T) flow {
		dst := rapid.SampledFrom(w.addrs).Draw(t, "dst")
		src := rapid.SampledFrom(w.addrs).Filter(func(a netip.Addr) bool { return a.Is4() == dst.Is4() }).Draw(t, "src")
		return flow{
			protocol: rapid.SampledFrom([]Protocols{TCP, UDP, SCTP}).Draw(t, "protocol"),
			src:      src, dst: dst,
			srcPort: rapid.SampledFrom(w.ports).Draw(t, "source port"),
			dstPort: rapid.SampledFrom(w.ports).Draw(t, "port"),
			ifindex: rapid.SampledFrom(w.interfaces).Draw(t, "interface"),
			vlan:    rapid.SampledFrom(vlans).Draw(t, "vlan"),
			dscp:    rapid.Uint8Range(0, 63).Draw(t, "dscp"),
			quoted:  rapid.IntRange(0, 3).Draw(t, "quoted") == 0,
		}
	})
}

// frame is a frame of the flow, or an ICMP error about it.
func (f flow) frame(tb testing.TB) []byte {
	p := transport(packettest.IP(f.src, f.dst), f.protocol, f.srcPort, f.dstPort)
	if f.quoted {
		about := transport(packettest.IP(f.dst, f.src), f.protocol, f.dstPort, f.srcPort)
		from := netip.MustParseAddr("198.51.100.1")
		if f.dst.Is6() {
			from = netip.MustParseAddr("2001:db8:7::1")
		}
		p = packettest.IP(from, f.dst).Unreachable(about)
	}
	if f.vlan != 0 {
		p = p.VLAN(f.vlan)
	}
	return p.DSCP(f.dscp).Frame(tb)
}

func transport(p packettest.Packet, protocol Protocols, src, dst uint16) packettest.Packet {
	switch protocol {
	case TCP:
		return p.TCP(src, dst)
	case UDP:
		return p.UDP(src, dst)
	}
	return p.SCTP(src, dst)
}

// fragmentFrame is a later fragment of a packet of the flow.
func (f flow) fragmentFrame(tb testing.TB) []byte {
	p := transport(packettest.IP(f.src, f.dst), f.protocol, f.srcPort, f.dstPort)
	return p.Payload(64).Fragment(40, 999, false).Frame(tb)
}

// The program decides as the plain walk does, whatever the rules.
func TestClaimsAgreeWithOracle(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	_, eth1 := vethPair(t, ns, "eth1")
	_, eth2 := vethPair(t, ns, "eth2")
	w := newWorld(eth0, eth1, eth2)
	s := open(t, Options{})
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(w.rule(), 0, 6).Draw(t, "rules")
		services := rapid.SliceOfN(w.service(), 0, 4).Draw(t, "services")
		if err := s.Update(rules, services); err != nil {
			t.Fatal(err)
		}
		for _, f := range rapid.SliceOfN(w.flow(), 60, 60).Draw(t, "flows") {
			want := uint32(xdpPass)
			if claimed(rules, services, f) {
				want = xdpDrop // there are no sockets
			}
			if got := run(outer(t), s, f.frame(outer(t)), f.ifindex); got != want {
				t.Fatalf("%+v: %s, want %s", f, actionNames[got], actionNames[want])
			}
			// Its later fragments go where it goes, at least if it is ours.
			if want == xdpDrop && run(outer(t), s, f.fragmentFrame(outer(t)), f.ifindex) != xdpDrop {
				t.Fatalf("%+v: claimed without its fragments", f)
			}
		}
	})
}

// outer lets helpers of testing.TB serve a rapid property.
func outer(t *rapid.T) testing.TB { return rapidTB{t: t} }

type rapidTB struct {
	testing.TB
	t *rapid.T
}

func (r rapidTB) Helper()                           {}
func (r rapidTB) Fatal(args ...any)                 { r.t.Fatal(args...) }
func (r rapidTB) Fatalf(format string, args ...any) { r.t.Fatalf(format, args...) }

// Nested prefixes: the longest one decides, with what the shorter ones say.
func TestNestedPrefixes(t *testing.T) {
	s := steering(t, []Rule{
		{Destinations: prefixes("10.0.0.0/30"), DestinationPorts: []PortRange{{22, 22}}},
		{Destinations: prefixes("10.0.0.0/8"), Claimed: true},
		{Destinations: prefixes("0.0.0.0/0"), DestinationPorts: []PortRange{{443, 443}}, Claimed: true},
	}, []Service{service(TCP, "10.0.0.1", 22), service(TCP, "10.0.0.1", 25)})
	for _, c := range []struct {
		dst  string
		port uint16
		want Reason
	}{
		{"10.0.0.1", 22, ClaimedFlow}, // rule 1 leaves it to the service
		{"10.0.0.2", 22, Unclaimed},
		{"10.0.0.2", 23, ClaimedFlow},
		{"10.0.0.9", 22, ClaimedFlow},
		{"11.0.0.1", 443, ClaimedFlow},
		{"11.0.0.1", 22, Unclaimed},
	} {
		if got := reasonOf(t, s, packettest.IPv4(client, c.dst).TCP(1, c.port).Frame(t)); got != c.want {
			t.Errorf("%s port %d: %s, want %s", c.dst, c.port, got, c.want)
		}
	}
}

// A rule of one family says nothing of the other, though "any" is both.
func TestFamiliesApart(t *testing.T) {
	s := steering(t, []Rule{{Sources: prefixes("0.0.0.0/0"), Claimed: true}}, nil)
	if got := reasonOf(t, s, packettest.IPv4(client, vip).UDP(1, 9).Frame(t)); got != ClaimedFlow {
		t.Errorf("IPv4: %s", got)
	}
	if got := reasonOf(t, s, packettest.IPv6(client6, vip6).UDP(1, 9).Frame(t)); got != Unclaimed {
		t.Errorf("IPv6: %s", got)
	}
}

// The longest walk still finds its last rule.
func TestLongestWalk(t *testing.T) {
	var rules []Rule
	for i := range MaxWalk {
		port := uint16(i)
		rules = append(rules, Rule{SourcePorts: []PortRange{{port, port}}, Claimed: i == MaxWalk-1})
	}
	s := steering(t, rules, nil)
	if got := reasonOf(t, s, packettest.IPv4(client, vip).TCP(MaxWalk-1, 80).Frame(t)); got != ClaimedFlow {
		t.Errorf("last rule: %s", got)
	}
	if got := reasonOf(t, s, packettest.IPv4(client, vip).TCP(0, 80).Frame(t)); got != Unclaimed {
		t.Errorf("first rule: %s", got)
	}
	if got := reasonOf(t, s, packettest.IPv4(client, vip).TCP(MaxWalk, 80).Frame(t)); got != Unclaimed {
		t.Errorf("no rule: %s", got)
	}
}

func TestRefused(t *testing.T) {
	manySources := func(n int) (list []netip.Prefix) {
		for i := range n {
			list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
		}
		return list
	}
	manyServices := func(n int, port func(int) uint16) (list []Service) {
		for i := range n {
			list = append(list, Service{Protocol: TCP, Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Port: port(i)})
		}
		return list
	}
	for name, c := range map[string]struct {
		rules    []Rule
		services []Service
		want     string
	}{
		"protocol":        {rules: []Rule{{Protocols: 8}}, want: "mark rule 1: protocols"},
		"prefix":          {rules: []Rule{{}, {Sources: []netip.Prefix{{}}}}, want: "mark rule 2: invalid prefix"},
		"mapped":          {rules: []Rule{{Destinations: prefixes("::ffff:1.2.3.0/120")}}, want: "IPv4-mapped"},
		"range":           {rules: []Rule{{SourcePorts: []PortRange{{2, 1}}}}, want: "backwards"},
		"vlan":            {rules: []Rule{{VLANs: []uint16{4095}}}, want: "VLAN 4095"},
		"dscp":            {rules: []Rule{{DSCPs: []uint8{64}}}, want: "DSCP 64"},
		"interface":       {rules: []Rule{{Interfaces: []int{0}}}, want: "interface index 0"},
		"two protocols":   {services: []Service{{Protocol: TCP | UDP, Addr: netip.MustParseAddr(vip)}}, want: "service 1: protocol"},
		"no address":      {services: []Service{{Protocol: TCP}}, want: "address"},
		"ftp on 80":       {services: []Service{{Protocol: TCP, Addr: netip.MustParseAddr(vip), Port: 80, FTP: true}}, want: "FTP"},
		"long walk":       {rules: []Rule{{SourcePorts: manyPorts(MaxWalk + 1), Claimed: true}}, want: "conditions to walk"},
		"many sources":    {rules: []Rule{{Sources: manySources(MaxSources + 1), Claimed: true}}, want: "source prefixes"},
		"many conditions": {rules: manyWalks(MaxConditions/MaxWalk + 1), want: "conditions, over all"},
		"many prefixes":   {services: manyServices(MaxPrefixes+1, func(int) uint16 { return 80 }), want: "destination prefixes"},
		"many sets":       {services: manyServices(MaxPortSets+1, func(i int) uint16 { return uint16(i) + 1 }), want: "sets of ports"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compile(c.rules, c.services)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

// manyPorts is n source ports.
func manyPorts(n int) (list []PortRange) {
	for i := range n {
		list = append(list, PortRange{uint16(i), uint16(i)})
	}
	return list
}

// manyWalks is n rules of other destinations and VLANs, each with the longest walk.
func manyWalks(n int) (rules []Rule) {
	for i := range n {
		rules = append(rules, Rule{
			Destinations: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32)},
			VLANs:        []uint16{uint16(i)}, SourcePorts: manyPorts(MaxWalk), Claimed: true,
		})
	}
	return rules
}

// What is refused changes nothing.
func TestRefusedUpdateKeepsRules(t *testing.T) {
	s := steering(t, nil, web())
	if err := s.Update([]Rule{{VLANs: []uint16{5000}}}, nil); err == nil {
		t.Fatal("accepted VLAN 5000")
	}
	if got := reasonOf(t, s, packettest.IPv4(client, vip).TCP(1, 80).Frame(t)); got != ClaimedFlow {
		t.Error(got)
	}
}

// Equal sets of ports and equal walks are stored once.
func TestCompileShares(t *testing.T) {
	var services []Service
	for i := range 1000 {
		services = append(services, Service{Protocol: TCP, Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Port: 80})
	}
	c, err := compile([]Rule{{Sources: prefixes("192.0.2.0/24"), DSCPs: []uint8{46}, Claimed: true}}, services)
	if err != nil {
		t.Fatal(err)
	}
	// Nothing, port 80 claimed with the rest conditional, all conditional; the
	// rule's network and any source.
	if len(c.sets) != 3 || len(c.conditions) != 1 || len(c.sources) != 2 {
		t.Errorf("%d sets, %d conditions, %d sources", len(c.sets), len(c.conditions), len(c.sources))
	}
}
