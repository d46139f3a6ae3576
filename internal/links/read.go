package links

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// read asks the kernel for everything.
func read(handle *netlink.Handle) (*Host, error) {
	listed, err := dump(handle.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	interfaces := make(map[int]Link, len(listed))
	for _, l := range listed {
		interfaces[l.Attrs().Index] = linkOf(l)
	}
	addrs, err := dump(func() ([]netlink.Addr, error) {
		return handle.AddrList(nil, netlink.FAMILY_ALL)
	})
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var addresses []Address
	for i := range addrs {
		if a, ok := addressOf(&addrs[i]); ok {
			addresses = append(addresses, a)
		}
	}
	return New(interfaces, addresses), nil
}

// dump repeats a dump that the kernel says a change has interrupted.
func dump[T any](list func() ([]T, error)) (items []T, err error) {
	for range 5 {
		if items, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return items, err
}

func linkOf(l netlink.Link) Link {
	attrs := l.Attrs()
	k := Link{
		Name: attrs.Name, Kind: l.Type(), MTU: attrs.MTU, Up: attrs.Flags&net.FlagUp != 0,
		Master: attrs.MasterIndex,
	}
	if attrs.EncapType == "ether" && len(attrs.HardwareAddr) == len(k.MAC) {
		k.MAC = [6]byte(attrs.HardwareAddr)
	}
	if attrs.NetNsID >= 0 { // what ParentIndex names is in another namespace
		return k
	}
	switch l := l.(type) {
	case *netlink.Vlan:
		k.Below, k.VLAN = attrs.ParentIndex, uint16(l.VlanId)
	case *netlink.Macvlan, *netlink.Macvtap, *netlink.IPVlan:
		k.Below = attrs.ParentIndex
	case *netlink.Veth:
		k.Peer = attrs.ParentIndex
	}
	return k
}

// unfit are the flags of addresses that nothing is to be sent from.
const unfit = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED

func addressOf(a *netlink.Addr) (Address, bool) {
	if a.IPNet == nil {
		return Address{}, false
	}
	ip, ok := netip.AddrFromSlice(a.IP)
	if !ok {
		return Address{}, false
	}
	near := a.Scope != unix.RT_SCOPE_UNIVERSE || ip.IsLoopback() || ip.IsLinkLocalUnicast()
	return Address{Link: a.LinkIndex, Addr: ip.Unmap(), Global: !near && a.Flags&unfit == 0}, true
}
