package bpf

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xlvs/xlvs/internal/packettest"
)

// foreignMAC is a unicast address that nobody has.
var foreignMAC = MAC{2, 0xaa, 0xbb, 0xcc, 0xdd, 1}

// everyKind are frames of every kind that the program takes: new and known flows,
// fragments, errors, with tags, options and extension headers.
func everyKind() map[string]packettest.Packet {
	tcp4, tcp6 := packettest.IPv4(client, vip).TCP(1, 80), packettest.IPv6(client6, vip6).TCP(1, 80)
	return map[string]packettest.Packet{
		"new":              tcp4.SYN(),
		"new6":             tcp6.SYN(),
		"known":            known4,
		"known6":           known6,
		"known, tagged":    known4.VLAN(7),
		"known, options":   known4.Options(8),
		"known, extension": known6.Through(packettest.HopByHop(8)),
		"later fragment":   tcp4.Payload(64).Fragment(40, 999, false),
		"error":            packettest.IPv4(router, vip).Unreachable(reply()),
		"unclaimed":        packettest.IPv4(client, vip).TCP(1, 22),
		"arp":              packettest.Ethernet(0x0806, make([]byte, 28)),
	}
}

// What is for another host is the kernel's, as it came, whatever it is.
func TestOtherHost(t *testing.T) {
	s, _ := openKnown(t, nil)
	for name, p := range everyKind() {
		if got := reasonOf(t, s, p.To(foreignMAC).Frame(t)); got != OtherHost {
			t.Errorf("%s for another host: %s", name, got)
		}
	}
	expectLane(t, s, true, known...)
	group := packettest.MAC{1, 0, 0x5e, 0, 0, 18}
	if got := reasonOf(t, s, known4.To(group).Frame(t)); got != GroupAddress {
		t.Errorf("to a group: %s", got)
	}
	setLocals(t, s, map[int][]MAC{1: {foreignMAC}, 2: {packettest.DirectorMAC}})
	if got := reasonOf(t, s, known4.Frame(t)); got != OtherHost {
		t.Errorf("to an address that another interface has: %s", got)
	}
}

// Of an interface that nobody told of every unicast frame is taken.
func TestUntoldInterface(t *testing.T) {
	s, _ := openKnown(t, nil)
	setLocals(t, s, nil)
	for _, p := range known {
		for _, to := range []MAC{packettest.DirectorMAC, foreignMAC} {
			if action, _, err := s.Run(p.To(to).Frame(t)); err != nil || action != Transmit {
				t.Errorf("to %x: action %d, %v", to, action, err)
			}
		}
	}
	setLocals(t, s, map[int][]MAC{1: nil}) // told, that it has none
	if got := reasonOf(t, s, known4.Frame(t)); got != OtherHost {
		t.Errorf("to an interface without addresses: %s", got)
	}
}

// More addresses than are at hand, and interfaces that share a set, are as good as the others.
func TestManyLocals(t *testing.T) {
	s, _ := openKnown(t, nil)
	macs := make([]MAC, 100)
	for i := range macs {
		macs[i] = MAC{2, 0, 0, 1, 0, byte(i)}
	}
	for _, locals := range []map[int][]MAC{
		{1: macs},
		{1: macs, 1 + ownSets: {foreignMAC}},
		{1: macs, 2: {foreignMAC}, 1 + 2*ownSets: {foreignMAC}},
	} {
		setLocals(t, s, locals)
		for _, mac := range macs {
			if action, _, err := s.Run(known4.To(mac).Frame(t)); err != nil || action != Transmit {
				t.Fatalf("to %x: action %d, %v", mac, action, err)
			}
		}
		if got := reasonOf(t, s, known4.To(foreignMAC).Frame(t)); got != OtherHost {
			t.Errorf("to an address that is not told of: %s", got)
		}
	}
	setLocals(t, s, map[int][]MAC{1: macs[1:]})
	if got := reasonOf(t, s, known4.To(macs[0]).Frame(t)); got != OtherHost {
		t.Errorf("to an address that is taken back: %s", got)
	}
}

func TestTooManyLocals(t *testing.T) {
	s, _ := openKnown(t, nil)
	many := make([]MAC, MaxLocals)
	for i := range many {
		many[i] = MAC{2}
		binary.BigEndian.PutUint32(many[i][2:], uint32(i))
	}
	err := s.SetLocals(map[int][]MAC{1: many})
	if err == nil || !strings.Contains(err.Error(), "at most 16384") {
		t.Error(err)
	}
	expectLane(t, s, true, known...)
	setLocals(t, s, map[int][]MAC{1: many[1:]})
}

// Attach tells of the interface's own address, unless more was told of it, and what was told
// of an attached interface stays until other is told.
func TestAttachTellsOwnAddress(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	at, err := netlink.LinkByIndex(eth0)
	if err != nil {
		t.Fatal(err)
	}
	s := steering(t, nil, web())
	expect := func(when string, to MAC, want uint32) {
		t.Helper()
		frame := packettest.IPv4(client, vip).TCP(1, 80).SYN().To(to).Frame(t)
		if got := run(t, s, frame, eth0); got != want {
			t.Errorf("%s: to %x: %s, want %s", when, to, actionNames[got], actionNames[want])
		}
	}
	own := MAC(at.Attrs().HardwareAddr)
	expect("before", foreignMAC, xdpDrop) // claimed, and there is no socket
	attach(t, s, eth0, Native)
	expect("attached", own, xdpDrop)
	expect("attached", foreignMAC, xdpPass)
	setLocals(t, s, map[int][]MAC{eth0 + 1: {foreignMAC}})
	expect("not named", own, xdpDrop)
	expect("not named", foreignMAC, xdpPass)
	setLocals(t, s, map[int][]MAC{eth0: {foreignMAC}})
	attach(t, s, eth0, Native)
	expect("told of another", own, xdpPass)
	expect("told of another", foreignMAC, xdpDrop)
}
