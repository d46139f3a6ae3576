package testnet

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Up sets an interface up.
func (ns *Namespace) Up(name string) error {
	return ns.withLink(name, ns.link.LinkSetUp)
}

// Down sets an interface down.
func (ns *Namespace) Down(name string) error {
	return ns.withLink(name, ns.link.LinkSetDown)
}

// Delete removes an interface.
func (ns *Namespace) Delete(name string) error {
	return ns.withLink(name, ns.link.LinkDel)
}

func (ns *Namespace) withLink(name string, f func(netlink.Link) error) error {
	link, err := ns.link.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if err := f(link); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return nil
}

// AddAddr gives an interface addresses. Those of IPv6 are usable at once (no
// duplicate address detection).
func (ns *Namespace) AddAddr(name string, prefixes ...netip.Prefix) error {
	return ns.withLink(name, func(l netlink.Link) error {
		for _, prefix := range prefixes {
			addr, err := netlink.ParseAddr(prefix.String())
			if err != nil {
				return fmt.Errorf("address %s: %w", prefix, err)
			}
			if prefix.Addr().Is6() {
				addr.Flags = unix.IFA_F_NODAD
			}
			if err := ns.link.AddrAdd(l, addr); err != nil {
				return fmt.Errorf("address %s: %w", prefix, err)
			}
		}
		return nil
	})
}

// DeleteAddr takes an address from an interface.
func (ns *Namespace) DeleteAddr(name string, prefix netip.Prefix) error {
	addr, err := netlink.ParseAddr(prefix.String())
	if err != nil {
		return fmt.Errorf("address %s: %w", prefix, err)
	}
	return ns.withLink(name, func(l netlink.Link) error { return ns.link.AddrDel(l, addr) })
}

// SetMAC gives an interface another hardware address.
func (ns *Namespace) SetMAC(name, mac string) error {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	return ns.withLink(name, func(l netlink.Link) error { return ns.link.LinkSetHardwareAddr(l, hw) })
}

// SetMTU gives an interface another MTU.
func (ns *Namespace) SetMTU(name string, mtu int) error {
	return ns.withLink(name, func(l netlink.Link) error { return ns.link.LinkSetMTU(l, mtu) })
}

// MAC returns an interface's hardware address.
func (ns *Namespace) MAC(name string) (net.HardwareAddr, error) {
	var mac net.HardwareAddr
	err := ns.withLink(name, func(l netlink.Link) error {
		mac = l.Attrs().HardwareAddr
		return nil
	})
	return mac, err
}

// Index returns an interface's index.
func (ns *Namespace) Index(name string) (int, error) {
	var index int
	err := ns.withLink(name, func(l netlink.Link) error {
		index = l.Attrs().Index
		return nil
	})
	return index, err
}
