package neigh

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
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
	waitHop(t, table, far4, b.hop("eth0", "eth0"))
	waitHop(t, table, far6, b.hop("eth0", "eth0"))
	// A better route, by another gateway and link.
	must(t, b.director.AddRoute(prefix("192.0.2.0/24"), netip.MustParseAddr("10.1.0.9")))
	must(t, b.director.AddRoute(prefix("2001:db8:9::/64"), netip.MustParseAddr("fd01::9")))
	waitHop(t, table, far4, b.hop("eth1", "eth1"))
	waitHop(t, table, far6, b.hop("eth1", "eth1"))
	// Its link fails: back by the first.
	must(t, b.director.Down("eth1"))
	waitHop(t, table, far4, b.hop("eth0", "eth0"))
	waitHop(t, table, far6, b.hop("eth0", "eth0"))
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
	waitHop(t, table, far4, b.hop("eth0", "eth0"))
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
	waitHop(t, table, far4, b.hop("eth0", "eth0"))
	rule := netlink.NewRule()
	rule.Table, rule.Priority = 100, 100
	must(t, b.director.Netlink().RuleAdd(rule))
	waitHop(t, table, far4, b.hop("eth1", "eth1"))
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
	eth := link{name: "eth0", up: true, running: true, ethernet: true, mac: [6]byte{2}}
	ls := links{
		2: eth,
		3: {name: "eth0.7", up: true, running: true, ethernet: true, mac: [6]byte{3}, parent: 2},
		4: {name: "eth0.7.8", up: true, running: true, ethernet: true, parent: 3},
		5: {name: "far.9", up: true, running: true, ethernet: true, parent: 99},
		6: {name: "br0", up: true, running: true, ethernet: true},
	}
	for from, want := range map[int]int{2: 2, 3: 2, 4: 2, 5: 5, 6: 6} {
		if got := ls.egress(from); got != want {
			t.Errorf("a route by %s leaves by %d, want %d", ls[from].name, got, want)
		}
	}
	r := resolver{links: ls, allowed: map[string]bool{"eth0": true}}
	h := &hop{neighbour: neighbour{link: 3, ip: server4}, mac: [6]byte{9}, known: true}
	got := r.result(&target{hop: h})
	if !got.status.OK() || got.hop.Interface != 2 || got.hop.Src != eth.mac || got.hop.Dst != h.mac {
		t.Errorf("by a VLAN device: %+v", got)
	}
	ls[3] = link{name: "eth0.7", parent: 2}
	if got := r.result(&target{hop: h}); got.status.String() != "interface eth0.7 is down" {
		t.Errorf("by a VLAN device that is down: %v", got.status)
	}
}
