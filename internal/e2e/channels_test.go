package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/testnet"
)

// setChannels is "ethtool -L name rx n tx n".
func setChannels(ns *testnet.Namespace, name string, n int) error {
	return ns.Do(func() error {
		family, err := netlink.GenlFamilyGet(unix.ETHTOOL_GENL_NAME)
		if err != nil {
			return err
		}
		header := nl.NewRtAttr(unix.ETHTOOL_A_CHANNELS_HEADER|unix.NLA_F_NESTED, nil)
		header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_NAME, nl.ZeroTerminated(name))
		count := binary.NativeEndian.AppendUint32(nil, uint32(n))
		request := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
		request.AddData(&nl.Genlmsg{Command: unix.ETHTOOL_MSG_CHANNELS_SET, Version: unix.ETHTOOL_GENL_VERSION})
		request.AddData(header)
		request.AddData(nl.NewRtAttr(unix.ETHTOOL_A_CHANNELS_RX_COUNT, count))
		request.AddData(nl.NewRtAttr(unix.ETHTOOL_A_CHANNELS_TX_COUNT, count))
		_, err = request.Execute(unix.NETLINK_GENERIC, 0)
		return err
	})
}

// TestChannelCountChanges follows "ethtool -L" of a running director's interface.
func TestChannelCountChanges(t *testing.T) {
	t.Parallel()
	b := newBed(t, 4)
	must(t, errors.Join(setChannels(b.outside, "wire0", 2), setChannels(b.inside, "eth0", 2)))
	b.start(b.config(loadPolicy(0)))
	b.forwardsOn(0, 1)

	must(t, setChannels(b.inside, "eth0", 4))
	eventually(t, "the new queues have sockets", func() error { return b.socketsUp(4) })
	must(t, b.log.has("interface has other queues", "eth0", `had="[0 1]"`, `has="[0 1 2 3]"`))
	// A veth lets the XDP program see its new queues when it is opened, and not
	// before (veth_enable_range_safe in drivers/net/veth.c).
	must(t, b.inside.Down("eth0"))
	must(t, b.inside.Up("eth0"))
	must(t, setChannels(b.outside, "wire0", 4))
	b.neighbours6(t, 0)
	b.forwardsOn(0, 1, 2, 3)

	// The kernel takes no channel away that has an AF_XDP socket.
	if err := setChannels(b.inside, "eth0", 2); !errors.Is(err, unix.EINVAL) {
		t.Errorf("two channels with sockets taken away: %v, want EINVAL", err)
	}
	b.forwardsOn(0, 1, 2, 3)
	b.stop()
}

// TestInterfaceComesBackWithOtherQueues has fewer of them, then as many as before.
func TestInterfaceComesBackWithOtherQueues(t *testing.T) {
	t.Parallel()
	b := newBed(t, 4)
	b.start(b.config(loadPolicy(0)))
	b.forwardsOn(0, 1, 2, 3)
	for _, queues := range [][]uint32{{0, 1}, {0, 1, 2, 3}} {
		must(t, b.inside.Delete("eth0"))
		b.queues[0] = len(queues)
		b.plug(t, 0)
		b.forwardsOn(queues...)
	}
	must(t, b.log.has("interface has other queues", "eth0", `had="[0 1 2 3]"`, `has="[0 1]"`))
	b.stop()
}

// socketsUp is an error unless n sockets are there in all.
func (b *bed) socketsUp(n int) error {
	up := 0
	for _, s := range b.status().Sockets {
		if s.Mode != "down" {
			up++
		}
	}
	if up != n {
		return fmt.Errorf("%d sockets are up, not %d: %+v", up, n, b.status().Sockets)
	}
	return nil
}

// forwardsOn waits until wire 0's interface has exactly these queues, each
// with a socket, and frames of many flows are all forwarded.
func (b *bed) forwardsOn(queues ...uint32) {
	b.t.Helper()
	eventually(b.t, fmt.Sprintf("queues %v have sockets", queues), func() error {
		var up []uint32
		for _, s := range b.status().Sockets {
			if s.Mode != "down" {
				up = append(up, s.Queue)
			}
		}
		if !slices.Equal(up, queues) {
			return fmt.Errorf("those of %v have", up)
		}
		return nil
	})
	b.probe(b.wires[0], b.wires[0], flowOf(1, 1000, udpTo(7))) // the servers are found
	b.wires[0].take()
	const flows = 64
	for i := range flows {
		b.wires[0].sendPacket(flowOf(i, 1000, udpTo(7)).udp(uint32(i)))
	}
	eventually(b.t, "all flows are forwarded", func() error {
		if n := b.wires[0].count(); n < flows {
			return fmt.Errorf("%d of %d frames; %v, %v", n, flows, nonZero(b.status().Frames), nonZero(b.status().Steering))
		}
		return nil
	})
}
