package links

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"github.com/xlvs/xlvs/internal/testnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a namespace with a Watcher, and a veth pair eth0 and peer in it.
type bed struct {
	t       *testing.T
	ns      *testnet.Namespace
	watcher *Watcher
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, ns: testnet.Fresh(t)}
	must(t, testnet.Pair(testnet.Veth{Namespace: b.ns, Name: "eth0"}, testnet.Veth{Namespace: b.ns, Name: "peer"}))
	must(t, b.ns.Do(func() (err error) {
		b.watcher, err = Watch(slog.New(slog.DiscardHandler))
		return err
	}))
	t.Cleanup(func() { b.watcher.Close() })
	return b
}

// wait waits for a condition on the Host, woken by Changed alone.
func (b *bed) wait(what string, ok func(h *Host) bool) {
	b.t.Helper()
	for deadline := time.After(8 * time.Second); !ok(b.watcher.Host()); {
		select {
		case <-b.watcher.Changed():
		case <-deadline:
			b.t.Fatalf("not in time: %s; known is %+v", what, b.watcher.Host())
		}
	}
}

// waitMACs waits until exactly these are ours by eth0.
func (b *bed) waitMACs(what string, want ...[6]byte) {
	b.t.Helper()
	b.wait(what, func(h *Host) bool { return slices.Equal(h.MACs(h.Index("eth0")), want) })
}

// macvlan adds a macvlan device as keepalived does for use_vmac.
func (b *bed) macvlan(name, parent string, mac [6]byte) {
	b.t.Helper()
	index, err := b.ns.Index(parent)
	must(b.t, err)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = name, index, mac[:]
	must(b.t, b.ns.Netlink().LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_PRIVATE}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	vrrp = [6]byte{0, 0, 0x5e, 0, 1, 0x33}
	own  = [6]byte{2, 0, 0, 0, 0, 1}
)

// MACs come, change and go with the devices on the interface and on its bridge.
func TestFollowsMACs(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	must(t, b.ns.SetMAC("eth0", "02:00:00:00:00:01"))
	b.waitMACs("its own", own)
	b.macvlan("vrrp.51", "eth0", vrrp)
	b.waitMACs("a macvlan came", own, vrrp)
	must(t, b.ns.Up("vrrp.51"))
	must(t, b.ns.SetMAC("vrrp.51", "00:00:5e:00:01:34"))
	b.waitMACs("a macvlan has another MAC", own, [6]byte{0, 0, 0x5e, 0, 1, 0x34})
	must(t, b.ns.Delete("vrrp.51"))
	b.waitMACs("the macvlan went", own)

	must(t, b.ns.AddBridge("br0"))
	must(t, b.ns.SetMAC("br0", "02:00:00:00:00:0b"))
	must(t, b.ns.Plug("eth0", "br0"))
	bridge := [6]byte{2, 0, 0, 0, 0, 0xb}
	b.waitMACs("a bridge's port", own, bridge)
	b.macvlan("vrrp.52", "br0", vrrp)
	b.waitMACs("a macvlan on the bridge", own, bridge, vrrp)
	must(t, b.ns.Delete("br0"))
	b.waitMACs("the bridge went, and what stood upon it", own)
}

func TestFollowsAddresses(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	virtual := func(a netip.Addr) bool { return a == netip.MustParseAddr("203.0.113.10") }
	source := func(h *Host) string { return h.Source(h.Index("eth0"), false, virtual).String() }
	must(t, b.ns.AddAddr("eth0", netip.MustParsePrefix("203.0.113.10/32")))
	b.wait("nothing but a virtual address", func(h *Host) bool { return source(h) == "203.0.113.10" })
	must(t, b.ns.AddAddr("eth0", netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.0.0.2/24")))
	b.wait("an address of its own", func(h *Host) bool { return source(h) == "10.0.0.1" && len(h.Locals()) >= 4 })
	must(t, b.ns.DeleteAddr("eth0", netip.MustParsePrefix("10.0.0.1/24")))
	b.wait("the address went", func(h *Host) bool { return source(h) != "10.0.0.1" })
}

func TestKnowsPeersAndMTU(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.wait("the peer", func(h *Host) bool {
		l := h.Links[h.Index("eth0")]
		return l.Kind == "veth" && l.Peer == h.Index("peer") && l.MTU == 1500 && l.Up
	})
	must(t, b.ns.SetMTU("eth0", 1400))
	b.wait("the MTU", func(h *Host) bool { return h.Links[h.Index("eth0")].MTU == 1400 })
	// The peer's index in another namespace is not one of ours.
	other := testnet.Fresh(t)
	must(t, testnet.Pair(testnet.Veth{Namespace: b.ns, Name: "eth1"}, testnet.Veth{Namespace: other, Name: "eth1"}))
	b.wait("a peer elsewhere", func(h *Host) bool {
		l, ok := h.Links[h.Index("eth1")]
		return ok && l.Kind == "veth" && l.Peer == 0
	})
}

// A storm of changes ends in the truth.
func TestStorm(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	must(t, b.ns.SetMAC("eth0", "02:00:00:00:00:01"))
	for i := range 50 {
		b.macvlan("vrrp", "eth0", [6]byte{0, 0, 0x5e, 0, 1, byte(i)})
		if i < 49 {
			must(t, b.ns.Delete("vrrp"))
		}
	}
	b.waitMACs("the last macvlan", own, [6]byte{0, 0, 0x5e, 0, 1, 49})
}
