package nic

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Of linux/netdev.h.
const (
	cmdDevGet       = 1 // NETDEV_CMD_DEV_GET
	attrDevIndex    = 1 // NETDEV_A_DEV_IFINDEX
	attrDevFeatures = 3 // NETDEV_A_DEV_XDP_FEATURES
)

// XDPFeatures are what an interface can do with XDP (enum netdev_xdp_act).
type XDPFeatures uint64

// The features that matter here.
const (
	// XDPBasic: programs run in the driver, and may drop, pass and send back.
	XDPBasic XDPFeatures = 1 << 0
	// XDPTransmit: the interface sends frames that XDP redirects to it. A veth says so
	// while its peer takes such frames, and then alone can it send frames back, too.
	XDPTransmit XDPFeatures = 1 << 2
)

// ReadXDPFeatures asks for an interface's features. Needs Linux 6.3; an older kernel
// gives EOPNOTSUPP.
func ReadXDPFeatures(ifindex int) (XDPFeatures, error) {
	messages, err := call(netdevFamily, cmdDevGet, unix.NLM_F_ACK, number32(attrDevIndex, uint32(ifindex)))
	if err != nil {
		return 0, fmt.Errorf("interface index %d: XDP features: %w", ifindex, err)
	}
	for _, a := range messages {
		if n := a.number(attrDevFeatures); n != nil {
			return XDPFeatures(*n), nil
		}
	}
	return 0, fmt.Errorf("interface index %d: XDP features: %w", ifindex, unix.EOPNOTSUPP)
}
