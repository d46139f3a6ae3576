package neigh

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// route asks the kernel which neighbour leads to addr: addr itself on the
// link, or a gateway. The Status is OK if there is one.
func route(handle *netlink.Handle, addr netip.Addr) (neighbour, Status) {
	found, err := handle.RouteGet(addr.AsSlice())
	if err != nil {
		return neighbour{}, noRoute(addr, err)
	}
	if len(found) == 0 {
		return neighbour{}, noRoute(addr, unix.ENETUNREACH)
	}
	switch r := found[0]; r.Type {
	case unix.RTN_LOCAL:
		return neighbour{}, Status{OwnAddress, fmt.Sprintf("address %s is the director's own", addr)}
	case unix.RTN_UNICAST:
		return neighbour{link: r.LinkIndex, ip: gateway(r, addr)}, Status{Reason: Resolved}
	default:
		return neighbour{}, Status{NoRoute, fmt.Sprintf("%s is a broadcast or multicast address", addr)}
	}
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
