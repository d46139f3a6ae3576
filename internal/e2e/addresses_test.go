package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/packet"
)

// TestAddressesAreAdded adds virtual addresses, announces them, and takes away
// those that a reload or the stop drops.
func TestAddressesAreAdded(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	policy := func(vips string) string {
		return b.config(loadPolicy(0)) + "addresses: {add: true, interface: eth0, announce_count: 2, vips: " + vips + "}\n"
	}
	b.start(policy("auto"))
	b.has(true, "eth0", vip, vip6)
	eventually(t, "both are announced", func() error { return b.announced(vip, vip6) })
	b.kernelAnswers(vip)

	if !b.reload(policy("[" + vip6 + "]")) {
		t.Fatal("the reload was refused")
	}
	b.has(false, "eth0", vip)
	b.has(true, "eth0", vip6)
	if !b.reload(policy("auto")) {
		t.Fatal("the reload was refused")
	}
	b.has(true, "eth0", vip, vip6)

	// What was added outlives a killed director, and the next one takes it away.
	b.kill()
	b.has(true, "eth0", vip, vip6)
	b.start(policy("auto"))
	b.stop()
	b.has(false, "eth0", vip, vip6)
}

// TestAddressesComeBack: the kernel takes IPv6 addresses away with the link, and
// all with the interface.
func TestAddressesComeBack(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.start(b.config(loadPolicy(0)) + "addresses: {add: true, interface: eth0, announce_count: 3}\n")
	b.has(true, "eth0", vip, vip6)
	must(t, b.inside.Down("eth0"))
	must(t, b.inside.Up("eth0"))
	b.has(true, "eth0", vip, vip6)
	must(t, b.inside.Delete("eth0"))
	b.plug(t, 0)
	b.has(true, "eth0", vip, vip6)
	eventually(t, "they are announced again", func() error { return b.announced(vip, vip6) })
	b.probe(b.wires[0], b.wires[0], flowOf(1, 1000, udpTo(7)))
	b.stop()
	b.has(false, "eth0", vip, vip6)
}

// has waits until the addresses are on an interface, or are not.
func (b *bed) has(want bool, name string, addrs ...string) {
	b.t.Helper()
	l, err := b.inside.Netlink().LinkByName(name)
	must(b.t, err)
	for _, a := range addrs {
		eventually(b.t, fmt.Sprintf("%s on %s: %t", a, name, want), func() error {
			list, err := b.inside.Netlink().AddrList(l, netlink.FAMILY_ALL)
			if err != nil {
				return err
			}
			if got := slices.ContainsFunc(list, func(x netlink.Addr) bool { return x.IP.String() == a }); got != want {
				return fmt.Errorf("it is %v", list)
			}
			return nil
		})
	}
}

// announced is an error until wire 0 has seen gratuitous ARP for the IPv4 address
// and an unsolicited neighbour advertisement for the IPv6 one.
func (b *bed) announced(v4, v6 string) error {
	w := b.wires[0]
	w.mu.Lock()
	defer w.mu.Unlock()
	is4, is6 := netip.MustParseAddr(v4).As4(), netip.MustParseAddr(v6).As16()
	var arp, na bool
	for _, f := range w.others {
		arp = arp || len(f) >= arpLen && packet.Ethernet(f).Type() == etherTypeARP && [4]byte(f[28:32]) == is4 && [4]byte(f[38:42]) == is4
		na = na || len(f) >= 78 && packet.Ethernet(f).Type() == packet.EtherTypeIPv6 && f[20] == 58 && f[54] == 136 && [16]byte(f[62:78]) == is6
	}
	if !arp || !na {
		return fmt.Errorf("ARP: %t, neighbour advertisement: %t, among %d frames", arp, na, len(w.others))
	}
	return nil
}

// TestAddressesAreFollowed does as keepalived: a master adds the address, a
// backup takes it away.
func TestAddressesAreFollowed(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.start(b.config(loadPolicy(0)))
	for range 3 {
		for _, a := range []netip.Prefix{netip.MustParsePrefix(vip + "/32"), netip.MustParsePrefix(vip6 + "/128")} {
			b.present(a.Addr().String(), false)
			must(t, b.inside.AddAddr("eth0", a))
			b.present(a.Addr().String(), true)
			must(t, b.inside.DeleteAddr("eth0", a))
			b.present(a.Addr().String(), false)
		}
	}
	must(t, b.inside.AddAddr("eth0", netip.MustParsePrefix(vip+"/32")))
	b.present(vip, true)
	b.stop()
	b.has(true, "eth0", vip) // it is not the director's
}

func (b *bed) present(addr string, want bool) {
	b.t.Helper()
	eventually(b.t, fmt.Sprintf("%s is present: %t", addr, want), func() error {
		if !slices.Contains(b.status().Addresses, control.AddressStatus{Address: netip.MustParseAddr(addr), Present: want}) {
			return fmt.Errorf("%v", b.status().Addresses)
		}
		return nil
	})
}
