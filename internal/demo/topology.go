package demo

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/xlvs/xlvs/internal/testnet"
)

// The namespaces that are neither a real server nor clients.
const (
	switchName   = "switch"
	directorName = "director"
	routerName   = "router"
)

const (
	uplink = "eth0" // every host's interface
	bridge = "br0"  // the switch's
)

// directorQueues is the receive queues of the director, so that the packets of
// one client meet different workers.
const directorQueues = 2

// topology is the demo's network, see the package's drawing.
type topology struct {
	name       string
	namespaces map[string]*testnet.Namespace
}

// roles is every namespace of a topology, without the demo's name.
func roles() []string {
	all := []string{switchName, directorName, routerName, newcomersName}
	for _, s := range servers {
		all = append(all, s.name)
	}
	for _, n := range networks {
		all = append(all, n.name)
	}
	return all
}

// namespaceName is what ip-netns(8) calls a role's namespace.
func namespaceName(name, role string) string { return name + "-" + role }

// buildTopology makes the namespaces and joins them. Close it.
func buildTopology(name string) (t *topology, err error) {
	t = &topology{name: name, namespaces: map[string]*testnet.Namespace{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	for _, role := range roles() {
		ns, err := testnet.NewNamed(namespaceName(name, role))
		if err != nil {
			return t, fmt.Errorf("%s: %w", role, err)
		}
		t.namespaces[role] = ns
	}
	steps := []func() error{t.buildSwitch, t.buildRouter, t.buildDirector}
	for _, s := range servers {
		steps = append(steps, func() error { return t.buildServer(s) })
	}
	for _, n := range networks {
		steps = append(steps, func() error { return t.buildClients(n) })
	}
	for _, step := range append(steps, t.buildNewcomers) {
		if err := step(); err != nil {
			return t, err
		}
	}
	return t, nil
}

type setting struct{ key, value string }

func settings(ns *testnet.Namespace, all []setting) error {
	for _, s := range all {
		if err := ns.Sysctl(s.key, s.value); err != nil {
			return err
		}
	}
	return nil
}

func (t *topology) ns(role string) *testnet.Namespace { return t.namespaces[role] }

func (t *topology) buildSwitch() error { return t.ns(switchName).AddBridge(bridge) }

// plug joins a role's uplink to the switch.
func (t *topology) plug(role string, queues int, at leg) error {
	err := testnet.Pair(
		testnet.Veth{Namespace: t.ns(role), Name: uplink, Queues: queues},
		testnet.Veth{Namespace: t.ns(switchName), Name: role, Queues: queues},
	)
	if err != nil {
		return err
	}
	if err := t.ns(switchName).Plug(role, bridge); err != nil {
		return err
	}
	if role == directorName { // so that the switch takes what the director's XDP program sends
		if err := t.ns(switchName).SetGRO(role, true); err != nil {
			return err
		}
	}
	return t.ns(role).AddAddr(uplink, at.prefixes()...)
}

// defaultRoutes sends what is not on the wire to a leg's router.
func defaultRoutes(ns *testnet.Namespace, router leg) error {
	return errors.Join(
		ns.AddRoute(netip.Prefix{}, router.addr4()),
		ns.AddRoute(netip.PrefixFrom(netip.IPv6Unspecified(), 0), router.addr6()),
	)
}

// hostPrefix is one address as a prefix.
func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// buildRouter makes the clients' router. It asks for the virtual addresses on
// the segment, where the director's kernel answers.
func (t *topology) buildRouter() error {
	router := t.ns(routerName)
	if err := t.plug(routerName, 1, routerLeg); err != nil {
		return err
	}
	return errors.Join(
		settings(router, []setting{
			{"net.ipv4.ip_forward", "1"},
			{"net.ipv6.conf.all.forwarding", "1"},
		}),
		router.AddLinkRoute(hostPrefix(vip4), uplink),
		router.AddLinkRoute(hostPrefix(vip6), uplink),
	)
}

// buildDirector makes the director's host: it owns the virtual addresses. Its
// port of the switch sends frames as a wire carries them, because below the
// director's IP stack nothing fills in a checksum.
func (t *topology) buildDirector() error {
	director := t.ns(directorName)
	if err := t.plug(directorName, directorQueues, directorLeg); err != nil {
		return err
	}
	return errors.Join(
		t.ns(switchName).WireFrames(directorName),
		director.AddAddr(uplink, hostPrefix(vip4), hostPrefix(vip6)),
		defaultRoutes(director, routerLeg),
	)
}

// buildServer makes a real server's host as direct routing wants it: it has
// the virtual addresses on its loopback, answers no ARP for them, and replies
// to the clients past the director. For IPv6 nothing has to be set: a kernel
// answers neighbour solicitations only for addresses of the interface asked.
func (t *topology) buildServer(s server) error {
	real := t.ns(s.name)
	if err := t.plug(s.name, 1, s.leg); err != nil {
		return err
	}
	return errors.Join(
		settings(real, []setting{
			{"net.ipv4.conf.all.arp_ignore", "1"},
			{"net.ipv4.conf.all.arp_announce", "2"},
		}),
		real.AddAddr("lo", hostPrefix(vip4), hostPrefix(vip6)),
		defaultRoutes(real, routerLeg),
	)
}

// buildClients makes a client network: one namespace with all its clients.
func (t *topology) buildClients(n network) error {
	clients := t.ns(n.name)
	if err := t.wire(n.name, n.wire); err != nil {
		return err
	}
	for _, number := range n.hosts {
		at := leg{n.wire.prefix4, n.wire.prefix6, number}
		if err := clients.AddAddr(uplink, at.prefixes()...); err != nil {
			return err
		}
	}
	return defaultRoutes(clients, n.wire)
}

// wire joins a namespace of clients to a port of the router.
func (t *topology) wire(role string, router leg) error {
	err := testnet.Pair(
		testnet.Veth{Namespace: t.ns(role), Name: uplink},
		testnet.Veth{Namespace: t.ns(routerName), Name: role},
	)
	if err != nil {
		return err
	}
	return t.ns(routerName).AddAddr(role, router.prefixes()...)
}

// buildNewcomers makes the namespace that owns every address of two large prefixes.
func (t *topology) buildNewcomers() error {
	clients, router := t.ns(newcomersName), t.ns(routerName)
	if err := t.wire(newcomersName, newcomersWire); err != nil {
		return err
	}
	self := newcomersWire
	self.number = 2
	return errors.Join(
		clients.AddAddr(uplink, self.prefixes()...),
		defaultRoutes(clients, newcomersWire),
		clients.AddLocalRoute(newcomers4),
		clients.AddLocalRoute(newcomers6),
		clients.Sysctl("net.ipv6.ip_nonlocal_bind", "1"),
		router.AddRoute(newcomers4, self.addr4()),
		router.AddRoute(newcomers6, self.addr6()),
	)
}

// namespaceOf is the namespace that a client's address is in.
func (t *topology) namespaceOf(client netip.Addr) *testnet.Namespace {
	at := slices.IndexFunc(networks, func(n network) bool {
		return n.wire.prefix4.Contains(client) || n.wire.prefix6.Contains(client)
	})
	if at < 0 {
		return t.ns(newcomersName)
	}
	return t.ns(networks[at].name)
}

// Close removes the namespaces. What still runs in them keeps its own alive.
func (t *topology) Close() error {
	return t.each((*testnet.Namespace).Close)
}

// Release leaves the namespaces in place under their names.
func (t *topology) Release() error {
	return t.each((*testnet.Namespace).Release)
}

func (t *topology) each(f func(*testnet.Namespace) error) error {
	var errs []error
	for role, ns := range t.namespaces {
		if err := f(ns); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", role, err))
		}
	}
	clear(t.namespaces)
	return errors.Join(errs...)
}
