package neigh

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xlvs/xlvs/internal/testnet"
)

var both = []netip.Addr{server4, server6}

func TestFollowsTheServersMAC(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	table := b.open(Options{}, both...)
	waitHop(t, table, server4, b.hop("eth0", "eth0"))
	waitHop(t, table, server6, b.hop("eth0", "eth0"))
	// Linux does not announce it: it shows when the old address is not confirmed.
	must(t, b.server.SetMAC("eth0", "02:00:00:00:00:09"))
	waitHop(t, table, server4, b.hop("eth0", "eth0"))
	waitHop(t, table, server6, b.hop("eth0", "eth0"))
}

func TestFollowsTheDirectorsMAC(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	table := b.open(Options{}, server4)
	waitHop(t, table, server4, b.hop("eth0", "eth0"))
	must(t, b.director.SetMAC("eth0", "02:00:00:00:00:01"))
	waitHop(t, table, server4, b.hop("eth0", "eth0"))
}

// The server's addresses vanish, but not its link: nothing tells the director
// but silence, and later an answer.
func TestServerFallsSilentAndComesBack(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	table := b.open(Options{}, both...)
	waitHop(t, table, server4, b.hop("eth0", "eth0"))
	waitHop(t, table, server6, b.hop("eth0", "eth0"))
	must(t, b.server.Sysctl("net.ipv4.conf.eth0.arp_ignore", "8"))
	must(t, b.server.DeleteAddr("eth0", prefix("fd00::9/64")))
	waitReason(t, table, server4, NoAnswer)
	waitReason(t, table, server6, NoAnswer)
	wantText(t, table, server4, "10.0.0.9 does not answer ARP on eth0")
	wantText(t, table, server6, "fd00::9 does not answer neighbour discovery on eth0")

	must(t, b.server.Sysctl("net.ipv4.conf.eth0.arp_ignore", "0"))
	must(t, b.server.AddAddr("eth0", prefix("fd00::9/64")))
	waitHop(t, table, server4, b.hop("eth0", "eth0"))
	waitHop(t, table, server6, b.hop("eth0", "eth0"))
}

func wantText(t *testing.T, table *Table, addr netip.Addr, want string) {
	t.Helper()
	if _, s := table.Lookup(addr); s.String() != want {
		t.Errorf("%s: %q, want %q", addr, s, want)
	}
}

func TestLinkGoesDownAndUp(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	table := b.open(Options{}, server4)
	waitHop(t, table, server4, b.hop("eth0", "eth0"))
	for range 3 {
		must(t, b.director.Down("eth0"))
		waitReason(t, table, server4, LinkDown)
		wantText(t, table, server4, "interface eth0 is down")
		must(t, b.director.Up("eth0"))
		waitHop(t, table, server4, b.hop("eth0", "eth0"))

		must(t, b.server.Down("eth0"))
		waitReason(t, table, server4, LinkDown)
		wantText(t, table, server4, "interface eth0 has no carrier")
		must(t, b.server.Up("eth0"))
		waitHop(t, table, server4, b.hop("eth0", "eth0"))
	}
}

func TestInterfaceIsMadeAnew(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	table := b.open(Options{Interfaces: []string{"eth0"}}, both...)
	before := b.hop("eth0", "eth0")
	waitHop(t, table, server4, before)
	waitHop(t, table, server6, before)
	must(t, b.director.Delete("eth0"))
	waitReason(t, table, server4, LinkDown)
	wantText(t, table, server4, "interface eth0 is gone")
	b.connect()
	after := b.hop("eth0", "eth0")
	if after.Interface == before.Interface {
		t.Fatalf("the new interface has the old index %d: nothing is tested", after.Interface)
	}
	waitHop(t, table, server4, after)
	waitHop(t, table, server6, after)
}

// An entry that is flushed is asked for again, and meanwhile frames go where
// they went: no gap.
func TestFlushedEntryLeavesNoGap(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	table := b.open(Options{}, server4)
	want := b.hop("eth0", "eth0")
	waitHop(t, table, server4, want)
	for range 10 {
		index, err := b.director.Index("eth0")
		must(t, err)
		// It may be that the Table has not put the last one back yet.
		b.director.Netlink().NeighDel(&netlink.Neigh{LinkIndex: index, IP: server4.AsSlice()})
		eventually(t, "the entry is there again", func() bool {
			if hop, s := table.Lookup(server4); !s.OK() || hop != want {
				t.Fatalf("a gap: %+v %v", hop, s)
			}
			e := b.entry(server4)
			return e != nil && e.State&nudValid != 0
		})
	}
}

// What the kernel cannot queue is lost. The last change of a burst must be
// seen all the same, without waiting for the audit.
func TestOverflowOfTheNetlinkSocket(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	table := b.open(Options{ReceiveBuffer: 1}, both...) // the kernel's minimum: two messages or so
	waitHop(t, table, server4, b.hop("eth0", "eth0"))
	waitHop(t, table, server6, b.hop("eth0", "eth0"))

	want := b.hop("eth0", "eth0")
	want.Dst = [6]byte{2, 0, 0, 0, 0, 0x99}
	func() {
		table.inbox.mu.Lock() // the reader waits here: the burst must overflow
		defer table.inbox.mu.Unlock()
		for i := range 200 {
			setEntry(t, b.director, netip.AddrFrom4([4]byte{10, 0, 0, byte(20 + i)}), [6]byte{2, 0, 0, 0, 1, byte(i)})
		}
		setEntry(t, b.director, server4, want.Dst)
	}()
	waitHop(t, table, server4, want)
	eventually(t, "an overflow is counted", func() bool { return table.overflows.Load() > 0 })
}

// setEntry gives ns a permanent neighbour entry on eth0.
func setEntry(t *testing.T, ns *testnet.Namespace, ip netip.Addr, mac [6]byte) {
	t.Helper()
	index, err := ns.Index("eth0")
	must(t, err)
	must(t, ns.Netlink().NeighSet(&netlink.Neigh{
		LinkIndex: index, IP: ip.AsSlice(), HardwareAddr: mac[:], State: netlink.NUD_PERMANENT,
	}))
}

// Permanent entries are the administrator's: used as they are, never probed
// (NTF_USE would make them ordinary ones), never removed.
func TestPermanentEntryIsUsedAndKept(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	mac := [6]byte{2, 0, 0, 0, 0, 0x77}
	ghost, later := netip.MustParseAddr("10.0.0.200"), netip.MustParseAddr("10.0.0.201")
	setEntry(t, b.director, ghost, mac)
	table := b.open(Options{}, ghost, later)
	want := b.hop("eth0", "eth0")
	want.Dst = mac
	waitHop(t, table, ghost, want)
	waitReason(t, table, later, NoAnswer)
	setEntry(t, b.director, later, mac)
	waitHop(t, table, later, want)
	must(t, table.Close())
	for _, ip := range []netip.Addr{ghost, later} {
		if e := b.entry(ip); e == nil || e.State != netlink.NUD_PERMANENT {
			t.Errorf("%s: after Close the permanent entry is %+v", ip, e)
		}
	}
}

// A permanent entry survives the loss of carrier, of which the Table forgets all.
func TestPermanentEntrySurvivesLossOfCarrier(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	mac := [6]byte{2, 0, 0, 0, 0, 0x77}
	setEntry(t, b.director, server4, mac)
	want := b.hop("eth0", "eth0")
	want.Dst = mac
	table := b.open(Options{}, server4)
	waitHop(t, table, server4, want)
	must(t, b.server.Down("eth0"))
	waitReason(t, table, server4, LinkDown)
	must(t, b.server.Up("eth0"))
	waitHop(t, table, server4, want)
	if e := b.entry(server4); e == nil || e.State != netlink.NUD_PERMANENT {
		t.Errorf("the permanent entry is now %+v", e)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	silent := netip.MustParseAddr("10.0.0.200") // FAILED or INCOMPLETE is also to go
	theirs := netip.MustParseAddr("10.0.0.10")
	must(t, b.server.AddAddr("eth0", netip.PrefixFrom(theirs, 24)))
	index, err := b.director.Index("eth0")
	must(t, err)
	must(t, b.director.Netlink().NeighAdd(&netlink.Neigh{
		LinkIndex: index, IP: theirs.AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 10}, State: netlink.NUD_STALE,
	}))
	table := b.open(Options{}, server4, server6, silent, theirs)
	want := b.hop("eth0", "eth0")
	waitHop(t, table, server4, want)
	waitHop(t, table, server6, want)
	waitHop(t, table, theirs, want) // the stale entry's address was wrong
	waitReason(t, table, silent, NoAnswer)
	if e := b.entry(server4); e == nil || e.FlagsExt != 0 || e.Flags&netlink.NTF_EXT_LEARNED != 0 {
		t.Errorf("the entry is not an ordinary one: %+v", e)
	}

	table.Want([]netip.Addr{server6, theirs}) // lets server4 go at once
	eventually(t, "the entry of an address not wanted is gone", func() bool { return b.entry(server4) == nil })
	must(t, table.Close())
	must(t, table.Close())
	for _, ip := range []netip.Addr{server4, server6, silent} {
		if e := b.entry(ip); e != nil {
			t.Errorf("%s: left behind: %+v", ip, e)
		}
	}
	if b.entry(theirs) == nil {
		t.Errorf("%s: the entry was there before, and is gone", theirs)
	}
	if hop, s := table.Lookup(server6); !s.OK() || hop != want {
		t.Errorf("after Close, Lookup says %v %v", hop, s)
	}
}

// A stale entry stays usable while it is confirmed: no gap in a quiet minute,
// here a hundred times as fast.
func TestAgeingLeavesNoGap(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	table := b.open(Options{}, server4)
	want := b.hop("eth0", "eth0")
	waitHop(t, table, server4, want)
	seen := make(map[int]bool)
	eventually(t, "the entry was seen delayed, and confirmed again", func() bool {
		if hop, s := table.Lookup(server4); !s.OK() || hop != want {
			t.Fatalf("a gap: %+v %v", hop, s)
		}
		if e := b.entry(server4); e != nil {
			seen[e.State] = true
			return e.State == netlink.NUD_REACHABLE && seen[netlink.NUD_DELAY]
		}
		return false
	})
}
