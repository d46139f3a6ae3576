package testnet

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// Veth is one end of a pair to be.
type Veth struct {
	Namespace *Namespace
	Name      string
	Queues    int // receive and transmit queues each; 0 is 1
	MTU       int // 0 is 1500
}

// Pair makes a veth pair with one end in each namespace, both up. Checksum
// and segmentation offloads are as the kernel makes them: see WireFrames.
func Pair(a, b Veth) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = a.Name, max(a.MTU, 0)
	attrs.NumRxQueues, attrs.NumTxQueues = max(a.Queues, 1), max(a.Queues, 1)
	veth := netlink.NewVeth(attrs)
	veth.PeerName = b.Name
	veth.PeerNamespace = netlink.NsFd(b.Namespace.Fd())
	veth.PeerNumRxQueues, veth.PeerNumTxQueues = uint32(max(b.Queues, 1)), uint32(max(b.Queues, 1))
	if b.MTU > 0 {
		veth.PeerMTU = uint32(b.MTU)
	}
	if err := a.Namespace.link.LinkAdd(veth); err != nil {
		return fmt.Errorf("veth pair %s, %s: %w", a.Name, b.Name, err)
	}
	return errors.Join(a.Namespace.Up(a.Name), b.Namespace.Up(b.Name))
}
