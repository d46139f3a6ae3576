package control

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/dataplane"
	"github.com/xlvs/xlvs/internal/links"
	"github.com/xlvs/xlvs/internal/testnet"
	"github.com/xlvs/xlvs/packet"
)

// hostBed is a namespace with a veth pair, eth0 and peer, and a macvlan mac0 on eth0. Its
// director knows the host, and nothing else.
type hostBed struct {
	t        *testing.T
	ns       *testnet.Namespace
	director *Director
}

func newHostBed(t *testing.T, text string) *hostBed {
	t.Helper()
	b := &hostBed{t: t, ns: testnet.Fresh(t), director: &Director{config: parse(t, text)}}
	must(t, testnet.Pair(testnet.Veth{Namespace: b.ns, Name: "eth0"}, testnet.Veth{Namespace: b.ns, Name: "peer"}))
	index, err := b.ns.Index("eth0")
	must(t, err)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = "mac0", index
	must(t, b.ns.Netlink().LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_PRIVATE}))
	must(t, b.ns.Do(func() (err error) {
		b.director.host, err = links.Watch(slog.New(slog.DiscardHandler))
		return err
	}))
	t.Cleanup(func() { b.director.host.Close() })
	return b
}

// port makes an interface one of the director's.
func (b *hostBed) port(name string, attached bpf.AttachMode) *port {
	b.t.Helper()
	index, err := b.ns.Index(name)
	must(b.t, err)
	p := &port{config: config.Interface{Name: name}, index: index, attached: attached}
	b.director.ports = append(b.director.ports, p)
	return p
}

// concerns are what is wrong with a port, as its texts.
func (b *hostBed) concerns(p *port) (texts []string) {
	b.t.Helper()
	must(b.t, b.ns.Do(func() error {
		f := b.director.portFacts(b.director.host.Host(), p, false)
		for _, c := range f.concerns() {
			texts = append(texts, c.text)
		}
		return nil
	}))
	return texts
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const hostPolicy = `
interfaces: [{name: eth0, macs: ["02:00:00:00:00:99"]}]
services:
  - {address: 203.0.113.10, protocol: tcp, port: 80, servers: [{address: 10.0.0.11}]}
`

func TestPartialSumsAreSeenAtThePeer(t *testing.T) {
	b := newHostBed(t, hostPolicy)
	p := b.port("eth0", bpf.Native)
	got := b.concerns(p)
	if len(got) != 1 || !strings.Contains(got[0], "frames from its peer (peer) have no checksums yet") {
		t.Fatalf("a veth as it is made: %q", got)
	}
	must(t, b.ns.WireFrames("peer"))
	if got := b.concerns(p); got != nil {
		t.Errorf("its peer fills in checksums: %q", got)
	}
}

func TestMergedFramesAreSeenBelow(t *testing.T) {
	b := newHostBed(t, hostPolicy)
	must(t, b.ns.WireFrames("peer"))
	must(t, b.ns.SetGRO("eth0", true))
	p := b.port("mac0", bpf.Generic)
	got := b.concerns(p)
	if len(got) != 1 || !strings.Contains(got[0], "interface mac0: in generic mode") || !strings.Contains(got[0], "ethtool -K eth0 gro off") {
		t.Fatalf("generic mode above GRO: %q", got)
	}
	must(t, b.ns.SetGRO("eth0", false))
	if got := b.concerns(p); got != nil {
		t.Errorf("without GRO below: %q", got)
	}
	must(t, b.ns.SetGRO("eth0", true))
	p.attached = bpf.Native
	if got := b.concerns(p); got != nil {
		t.Errorf("in native mode: %q", got)
	}
}

// What the packet path is told of the host: MACs, addresses to answer from, and those that
// are never answered.
func TestSnapshotKnowsTheHost(t *testing.T) {
	b := newHostBed(t, hostPolicy)
	must(t, b.ns.AddAddr("eth0", netip.MustParsePrefix("203.0.113.10/32"), netip.MustParsePrefix("10.0.0.1/24")))
	for deadline := time.After(8 * time.Second); ; {
		if slices.Contains(b.director.host.Host().Locals(), netip.MustParseAddr("10.0.0.1")) {
			break
		}
		select {
		case <-b.director.host.Changed():
		case <-deadline:
			t.Fatal("the address is not known in time")
		}
	}
	p := b.port("eth0", bpf.Native)
	var s dataplane.Snapshot
	b.director.fillHost(&s)
	own, err := b.ns.MAC("eth0")
	must(t, err)
	above, err := b.ns.MAC("mac0")
	must(t, err)
	want := [][packet.MACLen]byte{[6]byte(own), [6]byte(above), {2, 0, 0, 0, 0, 0x99}}
	if got := s.Ports[0]; got.Interface != p.index || !slices.Equal(got.MACs, want) {
		t.Errorf("port %+v, want interface %d and MACs %v", got, p.index, want)
	}
	if got := s.Ports[0].Answer4.Netip().Unmap().String(); got != "10.0.0.1" {
		t.Errorf("answers come from %s, want the address that is not virtual", got)
	}
	if got := s.Ports[0].Answer6; got != (packet.Addr{}) {
		t.Errorf("IPv6 answers come from %v without an address", got)
	}
	var again dataplane.Snapshot
	b.director.fillHost(&again)
	if !sameHost(&s, &again) {
		t.Error("nothing has changed, and the snapshots differ")
	}
	b.director.config = parse(t, strings.Replace(hostPolicy, ":99", ":98", 1))
	var other dataplane.Snapshot
	b.director.fillHost(&other)
	if sameHost(&s, &other) {
		t.Error("another MAC address makes no difference")
	}
	for _, addr := range []string{"127.0.0.1", "10.0.0.1", "203.0.113.10"} {
		if _, ok := s.Own[packet.AddrFrom(netip.MustParseAddr(addr))]; !ok {
			t.Errorf("%s is answered although it is the director's own", addr)
		}
	}
}
