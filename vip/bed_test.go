package vip

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/xlvs/xlvs/internal/testnet"
)

// holdEnv makes this test binary a director that holds its addresses until it
// is killed: see TestAddressesOfAKilledRunAreOwnedAgain.
const holdEnv = "XLVS_TEST_HOLD"

func TestMain(m *testing.M) {
	if os.Getenv(holdEnv) != "" {
		hold()
	}
	goleak.VerifyTestMain(m)
}

func hold() {
	m, err := Open(Options{})
	if err == nil {
		err = m.Set(vips, "eth0", []string{"eth0"})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("holding")
	select {}
}

// bed is a director and a client on one link.
//
//	+-- director ----------+      +-- client ------------+
//	| 10.0.0.1/24  eth0 ---+------+--- eth0  10.0.0.2/24 |
//	| fd00::1/64           |      |          fd00::2/64  |
//	+----------------------+      +----------------------+
type bed struct {
	t                tester
	director, client *testnet.Namespace
}

var (
	vip4 = netip.MustParseAddr("203.0.113.10")
	vip6 = netip.MustParseAddr("2001:db8::10")
	vips = []netip.Addr{vip4, vip6}
)

// tester is a *testing.T or a *rapid.T.
type tester interface {
	rapid.TB
	Cleanup(func())
}

func newBed(t tester) *bed {
	t.Helper()
	b := &bed{t: t, director: testnet.Fresh(t), client: testnet.Fresh(t)}
	b.connect()
	return b
}

func (b *bed) connect() {
	b.t.Helper()
	must(b.t, testnet.Pair(
		testnet.Veth{Namespace: b.director, Name: "eth0"},
		testnet.Veth{Namespace: b.client, Name: "eth0"}))
	must(b.t, b.director.AddAddr("eth0", netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64")))
	must(b.t, b.client.AddAddr("eth0", netip.MustParsePrefix("10.0.0.2/24"), netip.MustParsePrefix("fd00::2/64")))
}

// hostPrefix is one address as a prefix.
func hostPrefix(ip netip.Addr) netip.Prefix { return netip.PrefixFrom(ip, ip.BitLen()) }

// fast are options that do not make tests wait.
var fast = Options{Interval: 50 * time.Millisecond}

func (b *bed) open() *Manager {
	b.t.Helper()
	var m *Manager
	must(b.t, b.director.Do(func() (err error) {
		m, err = Open(fast)
		return err
	}))
	b.t.Cleanup(func() { m.Close() })
	return m
}

// on lists the global addresses on one of the director's interfaces, sorted.
func (b *bed) on(name string) []string {
	b.t.Helper()
	link, err := b.director.Netlink().LinkByName(name)
	must(b.t, err)
	list, err := b.director.Netlink().AddrList(link, netlink.FAMILY_ALL)
	must(b.t, err)
	var found []string
	for _, a := range list {
		if !a.IP.IsLinkLocalUnicast() && !a.IP.IsLoopback() {
			found = append(found, a.IPNet.String())
		}
	}
	slices.Sort(found)
	return found
}

// own are the addresses that eth0 has of itself; held has the virtual ones too.
var (
	own  = []string{"10.0.0.1/24", "fd00::1/64"}
	held = []string{"10.0.0.1/24", "2001:db8::10/128", "203.0.113.10/32", "fd00::1/64"}
)

func (b *bed) wantOn(name string, want ...string) {
	b.t.Helper()
	if got := b.on(name); !slices.Equal(got, want) {
		b.t.Fatalf("%s has %v, want %v", name, got, want)
	}
}

// believe makes the client believe that ip is at a MAC address.
func (b *bed) believe(ip netip.Addr, mac string) {
	b.t.Helper()
	hw, err := net.ParseMAC(mac)
	must(b.t, err)
	index, err := b.client.Index("eth0")
	must(b.t, err)
	must(b.t, b.client.Netlink().NeighSet(&netlink.Neigh{
		LinkIndex: index, IP: ip.AsSlice(), HardwareAddr: hw, State: netlink.NUD_STALE,
	}))
}

// believes is where the client believes ip to be.
func (b *bed) believes(ip netip.Addr) string {
	b.t.Helper()
	family := unix.AF_INET
	if ip.Is6() {
		family = unix.AF_INET6
	}
	list, err := b.client.Netlink().NeighList(0, family)
	must(b.t, err)
	for _, n := range list {
		if got, _ := netip.AddrFromSlice(n.IP); got.Unmap() == ip {
			return n.HardwareAddr.String()
		}
	}
	return ""
}

// waitBelief waits until the client has heard where the addresses are.
func (b *bed) waitBelief(mac string) {
	b.t.Helper()
	for _, ip := range vips {
		eventually(b.t, func() (bool, string) {
			got := b.believes(ip)
			return got == mac, fmt.Sprintf("the client finds %s at %q, want %s", ip, got, mac)
		})
	}
}

const elsewhere = "02:00:00:00:00:99"

func (b *bed) directorMAC() string {
	b.t.Helper()
	mac, err := b.director.MAC("eth0")
	must(b.t, err)
	return mac.String()
}

const patience = 8 * time.Second

// eventually waits for a condition that nothing announces.
func eventually(t tester, ok func() (bool, string)) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		good, how := ok()
		if good {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", patience, how)
		}
	}
}

func (b *bed) eventuallyOn(name string, want ...string) {
	b.t.Helper()
	eventually(b.t, func() (bool, string) {
		got := b.on(name)
		return slices.Equal(got, want), fmt.Sprintf("%s has %v, want %v", name, got, want)
	})
}

func must(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
