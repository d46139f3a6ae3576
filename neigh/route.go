package neigh

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// way is where a route leads: to a neighbour, which is the address itself or a gateway.
type way struct {
	neighbour
	mtu int // that the route itself has; 0: that of its interface
}

// route asks the kernel which neighbour leads to addr: addr itself on the
// link, or a gateway. The Status is OK if there is one.
func route(handle *netlink.Handle, addr netip.Addr) (way, Status) {
	found, err := handle.RouteGet(addr.AsSlice())
	if err != nil {
		return way{}, noRoute(addr, err)
	}
	if len(found) == 0 {
		return way{}, noRoute(addr, unix.ENETUNREACH)
	}
	switch r := found[0]; r.Type {
	case unix.RTN_LOCAL:
		return way{}, Status{OwnAddress, fmt.Sprintf("address %s is the director's own", addr)}
	case unix.RTN_UNICAST:
		w := way{neighbour: neighbour{link: r.LinkIndex, ip: gateway(r, addr)}}
		if r.MTU != 0 {
			w.mtu = routeMTU(handle, addr)
		}
		return w, Status{Reason: Resolved}
	default:
		return way{}, Status{NoRoute, fmt.Sprintf("%s is a broadcast or multicast address", addr)}
	}
}

// routeMTU is the MTU that an administrator gave the route to addr, 0 if it has none. What
// the kernel has learned of the path does not count, as when it forwards
// (ip_dst_mtu_maybe_forward): anybody may have sent the ICMP error that said so.
func routeMTU(handle *netlink.Handle, addr netip.Addr) int {
	found, err := handle.RouteGetWithOptions(addr.AsSlice(), &netlink.RouteGetOptions{FIBMatch: true})
	if err != nil || len(found) == 0 {
		return 0
	}
	return found[0].MTU
}

// gateway is the route's next hop, which may be of the other family (RFC 8950).
func gateway(r netlink.Route, addr netip.Addr) netip.Addr {
	if via, ok := r.Via.(*netlink.Via); ok {
		if ip, ok := netip.AddrFromSlice(via.Addr); ok {
			return ip.Unmap()
		}
	}
	if ip, ok := netip.AddrFromSlice(r.Gw); ok && !ip.IsUnspecified() {
		return ip.Unmap()
	}
	return addr
}

func noRoute(addr netip.Addr, err error) Status {
	why := err.Error()
	switch {
	case errors.Is(err, unix.ENETUNREACH):
		why = "the routing table has none"
	case errors.Is(err, unix.EHOSTUNREACH):
		why = "a route says unreachable"
	case errors.Is(err, unix.EACCES):
		why = "a route says prohibit"
	case errors.Is(err, unix.EINVAL):
		why = "a route says blackhole"
	}
	return Status{NoRoute, fmt.Sprintf("no route to %s: %s", addr, why)}
}
