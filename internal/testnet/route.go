package testnet

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddRoute adds a route to dst by a gateway; an invalid dst is the default route.
func (ns *Namespace) AddRoute(dst netip.Prefix, via netip.Addr) error {
	route := netlink.Route{Gw: via.AsSlice()}
	if dst.IsValid() {
		_, ipnet, err := parsePrefix(dst)
		if err != nil {
			return err
		}
		route.Dst = ipnet
	}
	if err := ns.link.RouteAdd(&route); err != nil {
		return fmt.Errorf("route %s via %s: %w", dst, via, err)
	}
	return nil
}

// AddLinkRoute says that dst is reached on an interface directly: the kernel
// asks for its hardware address there.
func (ns *Namespace) AddLinkRoute(dst netip.Prefix, name string) error {
	return ns.addRoute(dst, name, func(r *netlink.Route) { r.Scope = netlink.SCOPE_LINK })
}

// AddLocalRoute makes every address of a prefix one of the namespace's own
// (AnyIP), at the price of one route. Binding a socket to one of the IPv6
// addresses needs net.ipv6.ip_nonlocal_bind too.
func (ns *Namespace) AddLocalRoute(dst netip.Prefix) error {
	return ns.addRoute(dst, "lo", func(r *netlink.Route) {
		r.Type, r.Table, r.Scope = unix.RTN_LOCAL, unix.RT_TABLE_LOCAL, netlink.SCOPE_HOST
	})
}

func (ns *Namespace) addRoute(dst netip.Prefix, name string, kind func(*netlink.Route)) error {
	_, ipnet, err := parsePrefix(dst)
	if err != nil {
		return err
	}
	return ns.withLink(name, func(l netlink.Link) error {
		route := netlink.Route{Dst: ipnet, LinkIndex: l.Attrs().Index}
		kind(&route)
		if err := ns.link.RouteAdd(&route); err != nil {
			return fmt.Errorf("route %s: %w", dst, err)
		}
		return nil
	})
}

// ReplaceRoute sends dst by a gateway, whatever route to dst there was.
func (ns *Namespace) ReplaceRoute(dst netip.Prefix, via netip.Addr) error {
	_, ipnet, err := parsePrefix(dst)
	if err != nil {
		return err
	}
	if err := ns.link.RouteReplace(&netlink.Route{Dst: ipnet, Gw: via.AsSlice()}); err != nil {
		return fmt.Errorf("route %s via %s: %w", dst, via, err)
	}
	return nil
}

func parsePrefix(p netip.Prefix) (net.IP, *net.IPNet, error) {
	ip, ipnet, err := net.ParseCIDR(p.String())
	if err != nil {
		return nil, nil, fmt.Errorf("prefix %s: %w", p, err)
	}
	return ip, ipnet, nil
}
