package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/packettest"
)

// After the process is killed, the program stays, drops what is claimed, and is
// taken over without a detachment: the link is the same one.
func TestTakeoverAfterKill(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	dir := newPinDir(t)
	dead := startChild(t, "pinned", dir, eth0)
	program, _ := runningOn(t, eth0)

	_, err := OpenPins(dir)
	if want := fmt.Sprintf("in use by pid %d ", dead.Process.Pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("two directors: %v, want %q in it", err, want)
	}
	kill(t, dead)
	if id, _ := runningOn(t, eth0); id != program {
		t.Fatalf("after the kill program %d runs, want %d", id, program)
	}

	held := pinnedLink(t, dir, eth0)
	s := open(t, Options{Pins: openPins(t, dir)})
	frame := packettest.IPv4(client, vip).TCP(40000, 80).Frame(t)
	if got := reasonOf(t, s, frame); got != ClaimedFlow {
		t.Errorf("before Update: %s, want the rules of the dead", got)
	}
	if got := attach(t, s, eth0, Auto); got != Generic {
		t.Errorf("taken over in mode %s", got)
	}
	if id, _ := runningOn(t, eth0); id != programID(t, s.objects.XlvsSteer) || linkID(t, s, eth0) != held {
		t.Errorf("program %d runs, in link %d, want ours in link %d", id, linkID(t, s, eth0), held)
	}
	generation := s.generation
	update(t, s, nil, []Service{service(TCP, vip, 81)})
	if s.generation == generation {
		t.Error("wrote over the generation in force")
	}
	if got := reasonOf(t, s, frame); got != Unclaimed {
		t.Errorf("after Update: %s", got)
	}
	if err := errors.Join(s.Remove(), s.pins.Close()); err != nil {
		t.Fatal(err)
	}
	if id, _ := runningOn(t, eth0); id != 0 {
		t.Errorf("program %d runs after Remove", id)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s after Remove: %v", dir, err)
	}
}

// pinnedLink is the link that a dead director has pinned for an interface.
func pinnedLink(t *testing.T, dir string, ifindex int) link.ID {
	t.Helper()
	l, err := link.LoadPinnedLink((&Pins{path: dir}).linkPath(ifindex), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info.ID
}

// Without CAP_SYS_ADMIN, objects cannot be opened by number; the takeover goes on all the same.
func TestTakeoverWithFewCapabilities(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	dir := newPinDir(t)
	first := open(t, Options{Pins: openPins(t, dir)})
	update(t, first, nil, web())
	attach(t, first, eth0, Native)
	generation, id := first.generation, linkID(t, first, eth0)
	closeAll(t, first, first.pins)
	program, _ := runningOn(t, eth0)
	keepCapabilities(t, unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_PERFMON)
	if _, err := ebpf.NewProgramFromID(ebpf.ProgramID(program)); !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("opening a program by number: %v", err)
	}
	second := open(t, Options{Pins: openPins(t, dir)})
	if second.generation != generation {
		t.Errorf("generation %d is in force, took it for %d", generation, second.generation)
	}
	if got := attach(t, second, eth0, Auto); got != Native || linkID(t, second, eth0) != id {
		t.Errorf("mode %s, link %d, was %d", got, linkID(t, second, eth0), id)
	}
	update(t, second, nil, nil)
}

// keepCapabilities takes all other capabilities from the test's thread, which is
// locked and ends with the test.
func keepCapabilities(t *testing.T, keep ...int) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all, few [2]unix.CapUserData
	if err := unix.Capget(&header, &all[0]); err != nil {
		t.Fatal(err)
	}
	few = all
	few[0].Effective, few[1].Effective = 0, 0
	for _, c := range keep {
		few[c/32].Effective |= 1 << (c % 32)
	}
	if err := unix.Capset(&header, &few[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Capset(&header, &all[0]); err != nil {
			t.Error(err)
		}
	})
}

func TestEphemeralLeavesNothing(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	dead := startChild(t, "ephemeral", "", eth0)
	if id, _ := runningOn(t, eth0); id == 0 {
		t.Fatal("not attached")
	}
	kill(t, dead)
	eventually(t, "the program to go", func() bool {
		id, _ := runningOn(t, eth0)
		return id == 0
	})
}

// Another program under our pin, say of an older version, is exchanged in its link.
func TestOtherVersionIsExchanged(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	dir := newPinDir(t)
	s := open(t, Options{Pins: openPins(t, dir)})
	old, err := link.AttachXDP(link.XDPOptions{Program: newPassProgram(t, "xlvs_steer"), Interface: eth0, Flags: link.XDPDriverMode})
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Pin(s.pins.linkPath(eth0)); err != nil {
		t.Fatal(err)
	}
	info, err := old.Info()
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	attach(t, s, eth0, Native)
	if got := linkID(t, s, eth0); got != info.ID {
		t.Errorf("link %d, was %d", got, info.ID)
	}
	if id, _ := runningOn(t, eth0); id != programID(t, s.objects.XlvsSteer) {
		t.Errorf("program %d runs, want ours", id)
	}
}

// Maps of another layout are not used; the program that has them works on until
// Attach, and only then the new one does.
func TestOtherLayoutIsLeftToItsProgram(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	dir := newPinDir(t)
	first := open(t, Options{Pins: openPins(t, dir)})
	update(t, first, nil, web())
	attach(t, first, eth0, Native)
	if err := first.objects.Settings.Put(uint32(steerSettingLAYOUT), uint32(layout+1)); err != nil {
		t.Fatal(err)
	}
	program, _ := runningOn(t, eth0)
	closeAll(t, first, first.pins)

	second := open(t, Options{Pins: openPins(t, dir)})
	if got := reasonOf(t, second, packettest.IPv4(client, vip).TCP(1, 80).Frame(t)); got != Unclaimed {
		t.Errorf("took over rules of another layout: %s", got)
	}
	if id, _ := runningOn(t, eth0); id != program {
		t.Errorf("program %d runs before Attach, want the old one, %d", id, program)
	}
	attach(t, second, eth0, Native)
	if id, _ := runningOn(t, eth0); id != programID(t, second.objects.XlvsSteer) {
		t.Errorf("program %d runs after Attach", id)
	}
}

// What the maps inside of maps hold is not compared when they are taken over: the
// verifier would refuse the program. Whoever changes a size here raises layout.
func TestLayoutOfInnerMaps(t *testing.T) {
	spec, err := loadSteer()
	if err != nil {
		t.Fatal(err)
	}
	type sizes struct{ key, value uint32 }
	got, want := map[string]sizes{}, map[string]sizes{
		steerMapConditions: {4, 32},
		steerMapPorts:      {4, 1 << 14},
		steerMapPrefixes:   {24, 28},
		steerMapSources:    {24, 8},
	}
	for name, m := range spec.Maps {
		if m.InnerMap != nil {
			got[name] = sizes{m.InnerMap.KeySize, m.InnerMap.ValueSize}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("maps inside of maps have sizes %v, had %v in layout %d: raise layout", got, want, layout)
	}
}

func TestCountersSurvive(t *testing.T) {
	dir := newPinDir(t)
	for i := range 3 {
		s := open(t, Options{Pins: openPins(t, dir)})
		if c := counters(t, s); c[NotIP] != uint64(i) {
			t.Errorf("start %d: %d frames counted", i, c[NotIP])
		}
		reasonOf(t, s, packettest.Ethernet(0x0806, make([]byte, 28)).Frame(t))
		closeAll(t, s, s.pins)
	}
}

// xlvs detach, without a director: all of ours goes, pinned or not, and nobody else's.
func TestPackageDetach(t *testing.T) {
	ns := enterNamespace(t)
	var index [3]int
	for i := range index {
		_, index[i] = vethPair(t, ns, fmt.Sprintf("eth%d", i))
	}
	dir := newPinDir(t)
	s := open(t, Options{Pins: openPins(t, dir)})
	attach(t, s, index[0], Native)
	if _, err := OpenTables(s.pins, 4096); err != nil {
		t.Fatal(err)
	}
	if _, err := Detach(dir); err == nil || !strings.Contains(err.Error(), "in use by") {
		t.Fatalf("detached a running director: %v", err)
	}
	leftover := setLegacy(t, index[1], "xlvs_steer")
	stranger := setLegacy(t, index[2], "stranger")
	closeAll(t, s, s.pins)

	removed, err := Detach(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"link on eth0 (" + dir + "/link-", dir + "/tables", dir + "/sockets",
		fmt.Sprintf("program %d on eth1", leftover),
	} {
		if !slices.ContainsFunc(removed, func(r string) bool { return strings.HasPrefix(r, want) }) {
			t.Errorf("removed %q, want %q in it", removed, want)
		}
	}
	for i, want := range []uint32{0, 0, stranger} {
		if id, _ := runningOn(t, index[i]); id != want {
			t.Errorf("eth%d: program %d runs, want %d", i, id, want)
		}
	}
	if removed, err := Detach(dir); err != nil || len(removed) != 0 {
		t.Errorf("again: %q, %v", removed, err)
	}
}

// setLegacy attaches a program through netlink and returns its id.
func setLegacy(t *testing.T, ifindex int, name string) uint32 {
	t.Helper()
	program := newPassProgram(t, name)
	at, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetXdpFdWithFlags(at, program.FD(), unix.XDP_FLAGS_SKB_MODE); err != nil {
		t.Fatal(err)
	}
	return programID(t, program)
}

func TestMountBPFFS(t *testing.T) {
	at := t.TempDir()
	if ok, err := isBPFFS(at); ok || err != nil {
		t.Fatalf("%s before: %t, %v", at, ok, err)
	}
	for range 2 { // the second time it is there
		if err := mountBPFFS(at); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Error(err)
		}
		if ok, err := isBPFFS(at); ok || err != nil {
			t.Errorf("mounted twice: %v", err)
		}
	})
	s := open(t, Options{Pins: openPins(t, filepath.Join(at, "deep", "down"))})
	if err := errors.Join(s.Remove(), s.pins.Close()); err != nil {
		t.Error(err)
	}
}

func TestPinDirMustBeOnBPFFS(t *testing.T) {
	_, err := OpenPins(filepath.Join(t.TempDir(), "pins"))
	if err == nil || !strings.Contains(err.Error(), "not on a bpffs") {
		t.Error(err)
	}
}
