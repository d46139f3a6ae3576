package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xlvs/xlvs/internal/packettest"
)

// takes waits until frames for a MAC address are forwarded, or are not.
func (b *bed) takes(mac packettest.MAC, want bool) {
	b.t.Helper()
	w, flow := b.wires[0], flowOf(1, 1000, udpTo(7))
	eventually(b.t, fmt.Sprintf("frames for %x are forwarded: %t", mac, want), func() error {
		number := nextProbe()
		w.send(flow.udp(number).To(mac).Frame(b.t))
		b.probe(w, w, flow) // one behind it, for the director's own address
		if _, got := w.find(number); got != want {
			return errors.New("they are not as wanted")
		}
		return nil
	})
}

// The address of a VRRP router is that of a macvlan device, as keepalived has it with
// use_vmac: it is ours while the device is there. Those of macs are ours always, and others
// never.
func TestMACsComeAndGo(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	configuration := b.config(loadPolicy(0))
	b.start(configuration)
	vrrp, more, stranger := packettest.MAC{0, 0, 0x5e, 0, 1, 0x33}, packettest.MAC{2, 0, 0, 0, 0, 0x99}, packettest.MAC{2, 0xaa, 0xbb, 0xcc, 0xdd, 1}
	b.takes(vrrp, false)
	b.takes(stranger, false)

	index, err := b.inside.Index("eth0")
	must(t, err)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = "vrrp.51", index, vrrp[:]
	must(t, b.inside.Netlink().LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_PRIVATE}))
	b.takes(vrrp, true)
	must(t, b.inside.SetMAC("vrrp.51", "00:00:5e:00:01:34"))
	b.takes(vrrp, false)
	b.takes(packettest.MAC{0, 0, 0x5e, 0, 1, 0x34}, true)
	must(t, b.inside.Delete("vrrp.51"))
	b.takes(packettest.MAC{0, 0, 0x5e, 0, 1, 0x34}, false)

	if !b.reload(strings.Replace(configuration, "{name: eth0}", `{name: eth0, macs: "02:00:00:00:00:99"}`, 1)) {
		t.Fatal("the reload was refused")
	}
	b.takes(more, true)
	must(t, b.inside.SetMAC("eth0", "02:00:00:00:00:77"))
	b.wires[0].far = packettest.MAC{2, 0, 0, 0, 0, 0x77}
	b.takes(packettest.MAC{2, 0, 0, 0, 0, 0x77}, true)
	b.takes(more, true)
	b.takes(stranger, false)
	if !b.reload(configuration) {
		t.Fatal("the reload was refused")
	}
	b.takes(more, false)
	b.stop()
}
