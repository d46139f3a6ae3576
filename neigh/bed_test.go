package neigh

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/testnet"
	"github.com/xlvs/xlvs/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a director and a real server on one link. Neighbours are confirmed,
// and given up, some hundred times faster than by default.
//
//	+-- director ----------+      +-- server ------------+
//	| 10.0.0.1/24  eth0 ---+------+--- eth0  10.0.0.9/24 |
//	| fd00::1/64           |      |          fd00::9/64  |
//	+----------------------+      +----------------------+
type bed struct {
	t                *testing.T
	director, server *testnet.Namespace
}

var (
	server4 = netip.MustParseAddr("10.0.0.9")
	server6 = netip.MustParseAddr("fd00::9")
)

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, director: testnet.Fresh(t), server: testnet.Fresh(t)}
	b.connect()
	return b
}

// connect makes the link and its addresses.
func (b *bed) connect() { b.link("eth0", "10.0.0.%d/24", "fd00::%d/64") }

// link joins the namespaces by a pair of interfaces of a name. The director has
// number 1 of each prefix, the server 9.
func (b *bed) link(name string, prefixes ...string) {
	b.t.Helper()
	must(b.t, testnet.Pair(
		testnet.Veth{Namespace: b.director, Name: name},
		testnet.Veth{Namespace: b.server, Name: name}))
	b.hurry(name)
	for _, p := range prefixes {
		must(b.t, b.director.AddAddr(name, prefix(fmt.Sprintf(p, 1))))
		must(b.t, b.server.AddAddr(name, prefix(fmt.Sprintf(p, 9))))
	}
}

// hurry shortens the neighbour timers of one of the director's interfaces.
func (b *bed) hurry(name string) {
	b.t.Helper()
	for _, family := range []string{"ipv4", "ipv6"} {
		at := "net/" + family + "/neigh/" + name + "/"
		must(b.t, b.director.Sysctl(at+"base_reachable_time_ms", "300"))
		must(b.t, b.director.Sysctl(at+"retrans_time_ms", "100"))
		must(b.t, b.director.Sysctl(at+"delay_first_probe_time", "1"))
	}
}

// open makes a Table in the director that wants addrs.
func (b *bed) open(opt Options, addrs ...netip.Addr) *Table {
	b.t.Helper()
	var table *Table
	must(b.t, b.director.Do(func() (err error) {
		table, err = Open(opt)
		return err
	}))
	b.t.Cleanup(func() { table.Close() })
	table.Want(addrs)
	return table
}

// hop is the next hop by the director's interface out to the server's in, by an MTU of
// 1500, the server being on that link.
func (b *bed) hop(out, in string) service.NextHop {
	b.t.Helper()
	index, err := b.director.Index(out)
	must(b.t, err)
	src, err := b.director.MAC(out)
	must(b.t, err)
	dst, err := b.server.MAC(in)
	must(b.t, err)
	return service.NextHop{
		Interface: index, Dst: [6]byte(dst), Src: [6]byte(src), MTU: 1500, OnLink: true,
	}
}

// gateway is the next hop when the server's interface is a gateway's.
func (b *bed) gateway(out, in string) service.NextHop {
	hop := b.hop(out, in)
	hop.OnLink = false
	return hop
}

// waitHop waits until addr has the next hop want.
func waitHop(t *testing.T, table *Table, addr netip.Addr, want service.NextHop) {
	t.Helper()
	waitFor(t, table, addr, func(got service.NextHop, s Status) bool { return s.OK() && got == want })
}

// waitReason waits until addr is unresolved for a reason.
func waitReason(t *testing.T, table *Table, addr netip.Addr, want Reason) {
	t.Helper()
	waitFor(t, table, addr, func(got service.NextHop, s Status) bool {
		return s.Reason == want && got == service.NextHop{}
	})
}

const patience = 8 * time.Second

// waitFor waits for a condition on Lookup's answer, woken by Changed alone.
func waitFor(t *testing.T, table *Table, addr netip.Addr, ok func(service.NextHop, Status) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		hop, status := table.Lookup(addr)
		if ok(hop, status) {
			return
		}
		select {
		case <-table.Changed():
		case <-deadline:
			t.Fatalf("after %v, %s is %+v: %v, %q", patience, addr, hop, status.Reason, status)
		}
	}
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after %v: %s", patience, what)
		}
	}
}

// entry is the director's kernel's neighbour entry for addr, nil if it has none.
func (b *bed) entry(addr netip.Addr) *netlink.Neigh {
	b.t.Helper()
	family := unix.AF_INET
	if addr.Is6() {
		family = unix.AF_INET6
	}
	list, err := b.director.Netlink().NeighList(0, family)
	must(b.t, err)
	for i := range list {
		if ip, _ := netip.AddrFromSlice(list[i].IP); ip.Unmap() == addr {
			return &list[i]
		}
	}
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
