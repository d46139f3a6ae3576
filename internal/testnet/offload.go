package testnet

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The features that make a veth hand over frames which no wire would carry:
// without a checksum, or of many segments in one. Names as ethtool -k prints
// them raw.
var segmentAndChecksum = []string{
	"tx-checksum-ip-generic",
	"tx-generic-segmentation",
	"tx-tcp-segmentation",
	"tx-tcp-ecn-segmentation",
	"tx-tcp-mangleid-segmentation",
	"tx-tcp6-segmentation",
	"tx-udp-segmentation",
}

// WireFrames makes an interface send frames as a wire carries them: checksums
// filled in, one segment each. A veth as it is made leaves that to hardware
// that it does not have, and whoever takes the frame below the peer's IP stack
// (AF_XDP) sees a checksum of the pseudo header alone.
func (ns *Namespace) WireFrames(name string) error {
	return ns.SetFeatures(name, false, segmentAndChecksum...)
}

// SetGRO switches generic receive offload of an interface on or off. A veth is made
// without it. With it, and up, it takes the frames that an XDP program of its peer
// sends back or redirects to it; without it, or a program of its own, they are lost.
func (ns *Namespace) SetGRO(name string, on bool) error {
	return ns.SetFeatures(name, on, "rx-gro")
}

// SetFeatures switches features of an interface on or off, by the names that
// "ethtool -k" prints raw ("rx-gro", not "generic-receive-offload"). It speaks
// ethtool's netlink, which names features, so that no table of bit numbers and
// no ioctl is needed.
func (ns *Namespace) SetFeatures(name string, on bool, features ...string) error {
	return ns.Do(func() error {
		family, err := netlink.GenlFamilyGet(unix.ETHTOOL_GENL_NAME)
		if err != nil {
			return fmt.Errorf("ethtool netlink (a kernel with CONFIG_ETHTOOL_NETLINK is needed): %w", err)
		}
		header := nl.NewRtAttr(unix.ETHTOOL_A_FEATURES_HEADER|unix.NLA_F_NESTED, nil)
		header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_NAME, nl.ZeroTerminated(name))

		wanted := nl.NewRtAttr(unix.ETHTOOL_A_FEATURES_WANTED|unix.NLA_F_NESTED, nil)
		bits := wanted.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS|unix.NLA_F_NESTED, nil)
		for _, feature := range features {
			bit := bits.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS_BIT|unix.NLA_F_NESTED, nil)
			bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_NAME, nl.ZeroTerminated(feature))
			if on {
				bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_VALUE, nil)
			}
		}
		request := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
		request.AddData(&nl.Genlmsg{Command: unix.ETHTOOL_MSG_FEATURES_SET, Version: unix.ETHTOOL_GENL_VERSION})
		request.AddData(header)
		request.AddData(wanted)
		if _, err := request.Execute(unix.NETLINK_GENERIC, 0); err != nil {
			return fmt.Errorf("interface %s: set features %v: %w", name, features, err)
		}
		return nil
	})
}
