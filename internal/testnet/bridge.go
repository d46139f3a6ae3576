package testnet

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// AddBridge makes an Ethernet switch in the namespace and sets it up. Its ports
// forward from the first frame on: no spanning tree, no multicast snooping.
func (ns *Namespace) AddBridge(name string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	snooping := false
	if err := ns.link.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}); err != nil {
		return fmt.Errorf("bridge %s: %w", name, err)
	}
	return ns.Up(name)
}

// Plug makes an interface a port of a bridge in the same namespace.
func (ns *Namespace) Plug(port, bridge string) error {
	index, err := ns.Index(bridge)
	if err != nil {
		return err
	}
	return ns.withLink(port, func(l netlink.Link) error {
		return ns.link.LinkSetMasterByIndex(l, index)
	})
}
