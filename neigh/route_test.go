package neigh

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/service"
)

var (
	far4 = netip.MustParseAddr("192.0.2.9")
	far6 = netip.MustParseAddr("2001:db8:9::9")
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// secondLink joins the two namespaces by another pair.
func (b *bed) secondLink() { b.link("eth1", "10.1.0.%d/24", "fd01::%d/64") }

func TestByAGateway(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.secondLink()
	must(t, b.director.AddRoute(netip.Prefix{}, server4))
	must(t, b.director.AddRoute(prefix("2001:db8:9::/48"), server6))
	table := b.open(Options{}, far4, far6)
	waitHop(t, table, far4, b.gateway("eth0", "eth0"))
	waitHop(t, table, far6, b.gateway("eth0", "eth0"))
	// A better route, by another gateway and link.
	must(t, b.director.AddRoute(prefix("192.0.2.0/24"), netip.MustParseAddr("10.1.0.9")))
	must(t, b.director.AddRoute(prefix("2001:db8:9::/64"), netip.MustParseAddr("fd01::9")))
	waitHop(t, table, far4, b.gateway("eth1", "eth1"))
	waitHop(t, table, far6, b.gateway("eth1", "eth1"))
	// Its link fails: back by the first.
	must(t, b.director.Down("eth1"))
	waitHop(t, table, far4, b.gateway("eth0", "eth0"))
	waitHop(t, table, far6, b.gateway("eth0", "eth0"))
}

// RFC 8950: an IPv4 route by an IPv6 neighbour.
func TestGatewayOfTheOtherFamily(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	index, err := b.director.Index("eth0")
	must(t, err)
	must(t, b.director.Netlink().RouteAdd(&netlink.Route{
		LinkIndex: index,
		Dst:       &net.IPNet{IP: far4.AsSlice(), Mask: net.CIDRMask(32, 32)},
		Via:       &netlink.Via{AddrFamily: unix.AF_INET6, Addr: server6.AsSlice()},
	}))
	table := b.open(Options{}, far4)
	waitHop(t, table, far4, b.gateway("eth0", "eth0"))
	if b.entry(server6) == nil || b.entry(far4) != nil {
		t.Error("it was not the gateway that was asked for")
	}
}

// A rule of policy routing moves the route: another table, without a word
// about any route.
func TestFollowsRules(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.secondLink()
	must(t, b.director.AddRoute(prefix("192.0.2.0/24"), server4))
	must(t, b.director.Netlink().RouteAdd(&netlink.Route{
		Table: 100, Gw: net.IPv4(10, 1, 0, 9), Dst: &net.IPNet{IP: net.IPv4(192, 0, 2, 0), Mask: net.CIDRMask(24, 32)},
	}))
	table := b.open(Options{}, far4)
	waitHop(t, table, far4, b.gateway("eth0", "eth0"))
	rule := netlink.NewRule()
	rule.Table, rule.Priority = 100, 100
	must(t, b.director.Netlink().RuleAdd(rule))
	waitHop(t, table, far4, b.gateway("eth1", "eth1"))
}

func TestWhyNot(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.secondLink()
	for kind, dst := range map[int]string{
		unix.RTN_UNREACHABLE: "198.51.100.1", unix.RTN_PROHIBIT: "198.51.100.2", unix.RTN_BLACKHOLE: "198.51.100.3",
	} {
		must(t, b.director.Netlink().RouteAdd(&netlink.Route{
			Type: kind, Dst: &net.IPNet{IP: net.ParseIP(dst), Mask: net.CIDRMask(32, 32)},
		}))
	}
	wants := []struct {
		addr   string
		reason Reason
		text   string
	}{
		{"10.0.0.1", OwnAddress, "address 10.0.0.1 is the director's own"},
		{"fd00::1", OwnAddress, "address fd00::1 is the director's own"},
		{"127.0.0.1", OwnAddress, "address 127.0.0.1 is the director's own"},
		{"10.1.0.9", ForeignInterface, "route leaves by eth1, which is not one of xlvs's interfaces"},
		{"192.0.2.1", NoRoute, "no route to 192.0.2.1: the routing table has none"},
		{"2001:db8::1", NoRoute, "no route to 2001:db8::1: the routing table has none"},
		{"198.51.100.1", NoRoute, "no route to 198.51.100.1: a route says unreachable"},
		{"198.51.100.2", NoRoute, "no route to 198.51.100.2: a route says prohibit"},
		{"198.51.100.3", NoRoute, "no route to 198.51.100.3: a route says blackhole"},
		{"10.0.0.255", NoRoute, "10.0.0.255 is a broadcast or multicast address"},
		{"224.0.0.1", NoRoute, "no route to 224.0.0.1: the routing table has none"},
	}
	addrs := []netip.Addr{{}} // the invalid one is passed over
	for _, w := range wants {
		addrs = append(addrs, netip.MustParseAddr(w.addr))
	}
	table := b.open(Options{Interfaces: []string{"eth0"}}, addrs...)
	for _, w := range wants {
		waitReason(t, table, netip.MustParseAddr(w.addr), w.reason)
		wantText(t, table, netip.MustParseAddr(w.addr), w.text)
	}
}

func TestAddressBecomesTheDirectorsOwn(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	table := b.open(Options{}, server4)
	waitHop(t, table, server4, b.hop("eth0", "eth0"))
	must(t, b.director.AddAddr("lo", netip.PrefixFrom(server4, 32)))
	waitReason(t, table, server4, OwnAddress)
}

func TestEgress(t *testing.T) {
	t.Parallel()
	on := link{up: true, running: true, ethernet: true}
	like := func(name string, change func(*link)) link {
		l := on
		l.name = name
		change(&l)
		return l
	}
	ls := links{
		2: like("eth0", func(l *link) { l.mac, l.mtu = [6]byte{2}, 1500 }),
		3: like("eth0.7", func(l *link) { l.mac, l.mtu, l.parent, l.vlan = [6]byte{3}, 1400, 2, 7 }),
		4: like("eth0.7.8", func(l *link) { l.mtu, l.parent, l.vlan = 1400, 3, 8 }),
		5: like("far.9", func(l *link) { l.mtu, l.parent, l.vlan = 1500, 99, 9 }),
		6: like("br0", func(l *link) { l.mtu = 9000 }),
		7: like("eth0.10", func(l *link) { l.mtu, l.parent, l.vlan, l.provider = 1500, 2, 10, true }),
		8: like("eth0.11", func(l *link) { l.mtu, l.parent, l.vlan = 9000, 2, 11 }),
	}
	allowed := map[string]bool{"eth0": true}
	for from, want := range map[int]egress{
		2: {link: 2, mtu: 1500},
		3: {link: 2, mtu: 1400, vlan: 7, tags: 1},
		4: {link: 2, mtu: 1400, vlan: 7, tags: 2},
		5: {link: 5, mtu: 1500},
		6: {link: 6, mtu: 9000},
		7: {link: 2, mtu: 1500, vlan: 10, tags: 1, provider: true},
		8: {link: 2, mtu: 1500, vlan: 11, tags: 1},
	} {
		if got := ls.egress(from, allowed); got != want {
			t.Errorf("a route by %s leaves by %+v, want %+v", ls[from].name, got, want)
		}
	}
	// A VLAN device that is itself one of xlvs's sends its frames without a tag.
	if got, want := ls.egress(3, map[string]bool{"eth0.7": true}), (egress{link: 3, mtu: 1400}); got != want {
		t.Errorf("a route by eth0.7, which is xlvs's own, leaves by %+v, want %+v", got, want)
	}
}

func TestHopByAVLANDevice(t *testing.T) {
	t.Parallel()
	ls := links{
		2: {name: "eth0", up: true, running: true, ethernet: true, mac: [6]byte{2}, mtu: 1500},
		3: {name: "eth0.7", up: true, running: true, ethernet: true, mac: [6]byte{3}, mtu: 1496, parent: 2, vlan: 7},
		4: {name: "eth0.7.8", up: true, running: true, ethernet: true, mtu: 1400, parent: 3, vlan: 8},
		7: {name: "eth0.10", up: true, running: true, ethernet: true, mtu: 1500, parent: 2, vlan: 10, provider: true},
	}
	r := resolver{links: ls, allowed: map[string]bool{"eth0": true}}
	at := func(index int) *hop { return &hop{neighbour: neighbour{index, server4}, mac: [6]byte{9}, known: true} }
	want := service.NextHop{Interface: 2, Dst: [6]byte{9}, Src: [6]byte{3}, VLAN: 7, MTU: 1496, OnLink: true}
	if got := r.result(server4, &target{hop: at(3)}); !got.status.OK() || got.hop != want {
		t.Errorf("by a VLAN device: %+v, want %+v", got, want)
	}
	want.MTU, want.OnLink = 1280, false
	if got := r.result(far4, &target{hop: at(3), mtu: 1280}); !got.status.OK() || got.hop != want {
		t.Errorf("by a gateway on a VLAN, with an MTU of the route: %+v, want %+v", got, want)
	}
	for index, text := range map[int]string{
		4: "route leaves by eth0.7.8, whose frames have 2 VLAN tags: xlvs writes one",
		7: "route leaves by eth0.10, whose VLAN tags are of 802.1ad: xlvs writes those of 802.1Q",
	} {
		got := r.result(server4, &target{hop: at(index)})
		if got.status.Reason != UnsupportedTag || got.status.String() != text || got.hop != (service.NextHop{}) {
			t.Errorf("by %s: %+v, want %q", ls[index].name, got, text)
		}
	}
	ls[3] = link{name: "eth0.7", parent: 2}
	if got := r.result(server4, &target{hop: at(3)}); got.status.String() != "interface eth0.7 is down" {
		t.Errorf("by a VLAN device that is down: %v", got.status)
	}
}

// The MTU of the way out is that of the link, or less if the route has one of its own. What
// the kernel has learned by ICMP is not: anybody may have sent that.
func TestFollowsTheMTU(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	must(t, b.director.AddRoute(prefix("192.0.2.0/24"), server4))
	table := b.open(Options{}, server4, far4, server6)
	near, far := b.hop("eth0", "eth0"), b.gateway("eth0", "eth0")
	waitHop(t, table, server4, near)
	waitHop(t, table, far4, far)
	must(t, b.director.SetMTU("eth0", 1400))
	near.MTU, far.MTU = 1400, 1400
	waitHop(t, table, server4, near)
	waitHop(t, table, server6, near)
	waitHop(t, table, far4, far)
	must(t, b.director.Netlink().RouteReplace(&netlink.Route{
		Gw: server4.AsSlice(), MTU: 1280, Dst: &net.IPNet{IP: net.IPv4(192, 0, 2, 0), Mask: net.CIDRMask(24, 32)},
	}))
	far.MTU = 1280
	waitHop(t, table, far4, far)
	waitHop(t, table, server4, near)
	must(t, b.director.SetMTU("eth0", 1500))
	near.MTU = 1500
	waitHop(t, table, server4, near)
	waitHop(t, table, far4, far)
}

func TestUnreachable(t *testing.T) {
	for r := range Reason(len(reasons)) {
		want := r != Unknown && r != Resolved && r != Resolving
		if got := (Status{Reason: r}).Unreachable(); got != want {
			t.Errorf("%v: unreachable %t, want %t", r, got, want)
		}
	}
}
