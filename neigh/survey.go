package neigh

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Survey tells what routes say of addresses at this moment, without asking any neighbour and
// without privileges: text for each that is not on a link of this host, in the order given.
func Survey(addrs []netip.Addr) (map[netip.Addr]string, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer handle.Close()
	said := map[netip.Addr]string{}
	for _, addr := range addrs {
		addr = plain(addr)
		switch way, status := route(handle, addr); {
		case !status.OK():
			said[addr] = status.String()
		case way.ip != addr:
			said[addr] = fmt.Sprintf("%s is behind the router %s, which routes by the virtual address "+
				"and may send packets back", addr, way.ip)
		}
	}
	return said, nil
}
