package e2e

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/xlvs/xlvs/packet"
)

// TestPacketsLongerThanFrames: after the MTU was raised above what a frame holds, longer
// packets are dropped where they are counted. They never reach the kernel, which has the
// virtual address and no such connection, and would reset the client.
func TestPacketsLongerThanFrames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mode string
		mtu  int
	}{{"copy", 3400}, {"generic", 9000}} {
		t.Run(test.mode, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, 1)
			b.interfaces = fmt.Sprintf("[{name: eth0, mode: %s}]", test.mode)
			must(t, b.inside.AddAddr("lo", netip.MustParsePrefix(vip+"/32")))
			b.start(b.config(loadPolicy(0) + fmt.Sprintf(
				"  - {address: %s, protocol: tcp, port: 80, servers: [{address: 10.0.0.11}]}\n", vip)))
			w := b.wires[0]
			f := flowOf(1, 1000, netip.AddrPortFrom(netip.MustParseAddr(vip), 80))
			w.sendPacket(f.tcp(1).Flags(packet.SYN))
			w.sendPacket(f.tcp(2).Flags(packet.ACK))
			setMTU(t, b, test.mtu)
			eventually(t, "it is logged", func() error {
				return b.log.has("level=WARN", fmt.Sprintf("its MTU is %d", test.mtu), "longer ones are dropped")
			})
			const n = 5
			for i := range n {
				w.sendPacket(f.tcp(uint32(3 + i)).Flags(packet.ACK).Data(make([]byte, test.mtu-100)))
			}
			eventually(t, "they are counted", func() error {
				if got := b.status().Sockets[0].Counters["rx_dropped"]; got != n {
					return fmt.Errorf("rx_dropped is %d of %d", got, n)
				}
				return nil
			})
			b.probe(w, w, flowOf(1, 1000, udpTo(7)))
			if resets := w.takeOthers(isFrom(vip, 6)); len(resets) > 0 {
				t.Errorf("the kernel answered the client: % x", resets[0])
			}
			setMTU(t, b, 1500)
			eventually(t, "it is over", func() error { return b.log.has("no longer so", fmt.Sprintf("its MTU is %d", test.mtu)) })
			b.stop()
		})
	}
}
