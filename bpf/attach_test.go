package bpf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/testnet"
)

// passProgram is an XDP program that is not ours, whatever its name.
func passProgram(name string) (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
}

func newPassProgram(t *testing.T, name string) *ebpf.Program {
	t.Helper()
	program, err := passProgram(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return program
}

// runningOn is the id and mode of the program on an interface; 0 is none.
func runningOn(t *testing.T, ifindex int) (id, mode uint32) {
	t.Helper()
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		t.Fatal(err)
	}
	if x := l.Attrs().Xdp; x != nil && x.Attached {
		return x.ProgId, x.AttachMode
	}
	return 0, attachedNone
}

func programID(t *testing.T, p *ebpf.Program) uint32 {
	t.Helper()
	info, err := p.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	return uint32(id)
}

func attach(t *testing.T, s *Steering, ifindex int, mode AttachMode) AttachMode {
	t.Helper()
	got, err := s.Attach(ifindex, mode)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// eventually waits for a condition, for ten seconds at most.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timeout: %s", what)
		}
	}
}

// A director (10.9.0.1, the address of a service on port 80) and a client:
//
//	near namespace          far namespace
//	eth0 10.9.0.1/24 ------ eth0 10.9.0.2/24
//	program here
func clientAndDirector(t *testing.T) (far *testnet.Namespace, ifindex int) {
	t.Helper()
	ns := enterNamespace(t)
	far, ifindex = vethPair(t, ns, "eth0")
	for _, err := range []error{
		ns.AddAddr("eth0", netip.MustParsePrefix("10.9.0.1/24")),
		far.AddAddr("eth0", netip.MustParsePrefix("10.9.0.2/24")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return far, ifindex
}

// listen has the director's own kernel listen on a port.
func listen(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

// dial connects from a namespace.
func dial(ctx context.Context, from *testnet.Namespace, address string) error {
	return from.Do(func() error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// In both modes, the kernel keeps its own, loses what is claimed, and gets it
// with the fallback pass.
func TestAttached(t *testing.T) {
	for _, mode := range []AttachMode{Native, Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			far, eth0 := clientAndDirector(t)
			listen(t, "10.9.0.1:22")
			listen(t, "10.9.0.1:80")
			s := steering(t, nil, []Service{service(TCP, "10.9.0.1", 80)})
			if got := attach(t, s, eth0, mode); got != mode {
				t.Fatalf("attached in mode %s", got)
			}
			if err := dial(t.Context(), far, "10.9.0.1:22"); err != nil {
				t.Errorf("port 22, the kernel's: %v", err)
			}

			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error)
			go func() { result <- dial(ctx, far, "10.9.0.1:80") }()
			eventually(t, "a dropped SYN", func() bool {
				c := counters(t, s)
				return c[ClaimedFlow] > 0 && c[NoSocket] > 0
			})
			cancel()
			if err := <-result; err == nil {
				t.Error("port 80 reached the kernel")
			}

			if err := s.SetFallback(FallbackPass); err != nil {
				t.Fatal(err)
			}
			if err := dial(t.Context(), far, "10.9.0.1:80"); err != nil {
				t.Errorf("port 80 with fallback pass: %v", err)
			}
			if c := counters(t, s); c.Redirected() != 0 {
				t.Errorf("redirected %d without a socket", c.Redirected())
			}
		})
	}
}

func TestAutoIsNativeWhereThereIsOne(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	s := steering(t, nil, nil)
	if got := attach(t, s, eth0, Auto); got != Native {
		t.Errorf("veth: %s", got)
	}
	// The loopback has no native XDP.
	if got := attach(t, s, indexOf(t, ns, "lo"), Auto); got != Generic {
		t.Errorf("lo: %s", got)
	}
	if _, err := s.Attach(eth0+1000, Auto); err == nil {
		t.Error("attached to an interface that is not there")
	}
}

func TestAttachAgainChangesNothing(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	s := open(t, Options{Pins: openPins(t, newPinDir(t))})
	attach(t, s, eth0, Generic)
	first := linkID(t, s, eth0)
	if got := attach(t, s, eth0, Auto); got != Generic || linkID(t, s, eth0) != first {
		t.Errorf("auto: mode %s, link %d, was %d", got, linkID(t, s, eth0), first)
	}
	// Another mode, asked for by name, is worth it.
	if got := attach(t, s, eth0, Native); got != Native || linkID(t, s, eth0) == first {
		t.Errorf("native: mode %s", got)
	}
	if _, mode := runningOn(t, eth0); mode != attachedDriver {
		t.Errorf("runs in mode %d", mode)
	}
}

func linkID(t *testing.T, s *Steering, ifindex int) link.ID {
	t.Helper()
	l := s.links[ifindex]
	if l == nil {
		t.Fatalf("no link on interface %d", ifindex)
	}
	info, err := l.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info.ID
}

func TestMTUTooLarge(t *testing.T) {
	ns := enterNamespace(t)
	far, err := testnet.New()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if err := testnet.Pair(testnet.Veth{Namespace: ns, Name: "big", MTU: 9000}, testnet.Veth{Namespace: far, Name: "big", MTU: 9000}); err != nil {
		t.Fatal(err)
	}
	s := steering(t, nil, nil)
	for _, mode := range []AttachMode{Native, Auto} {
		_, err := s.Attach(indexOf(t, ns, "big"), mode)
		if err == nil || !strings.Contains(err.Error(), "MTU (9000)") || !strings.Contains(err.Error(), "ip link set big mtu") {
			t.Errorf("mode %s: %v", mode, err)
		}
	}
}

func TestTooFewQueues(t *testing.T) {
	ns := enterNamespace(t)
	far, err := testnet.New()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if err := testnet.Pair(testnet.Veth{Namespace: ns, Name: "narrow"}, testnet.Veth{Namespace: far, Name: "wide", Queues: 2}); err != nil {
		t.Fatal(err)
	}
	s := steering(t, nil, nil)
	_, err = s.Attach(indexOf(t, ns, "narrow"), Native)
	if err == nil || !strings.Contains(err.Error(), "fewer receive queues") {
		t.Error(err)
	}
}

func TestForeignProgramIsRefused(t *testing.T) {
	for mode, flags := range map[string]int{"generic": unix.XDP_FLAGS_SKB_MODE, "native": unix.XDP_FLAGS_DRV_MODE} {
		t.Run(mode, func(t *testing.T) {
			ns := enterNamespace(t)
			_, eth0 := vethPair(t, ns, "eth0")
			at, err := netlink.LinkByIndex(eth0)
			if err != nil {
				t.Fatal(err)
			}
			stranger := newPassProgram(t, "stranger")
			if err := netlink.LinkSetXdpFdWithFlags(at, stranger.FD(), flags); err != nil {
				t.Fatal(err)
			}
			s := steering(t, nil, nil)
			_, err = s.Attach(eth0, Generic)
			var occupied *OccupiedError
			if !errors.As(err, &occupied) {
				t.Fatalf("attached over a stranger: %v", err)
			}
			want := programID(t, stranger)
			if occupied.ID != want || occupied.Name != "stranger" || len(occupied.Tag) != 16 ||
				occupied.Mode != mode || occupied.Link != 0 || occupied.Loaded == 0 {
				t.Errorf("%+v", occupied)
			}
			if id, _ := runningOn(t, eth0); id != want {
				t.Errorf("program %d runs, want the stranger, %d", id, want)
			}

			replacing := open(t, Options{Replace: true})
			attach(t, replacing, eth0, Generic)
			if id, _ := runningOn(t, eth0); id != programID(t, replacing.objects.XlvsSteer) {
				t.Errorf("program %d runs after replacing", id)
			}
		})
	}
}

// A program that a bpf_link holds stays, even if it is to be replaced.
func TestForeignLinkIsNotReplaced(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	owner := startChild(t, "foreign", "", eth0)
	s := open(t, Options{Replace: true})
	_, err := s.Attach(eth0, Native)
	var occupied *OccupiedError
	if !errors.As(err, &occupied) {
		t.Fatalf("attached over a link: %v", err)
	}
	pid := fmt.Sprintf("pid %d ", owner.Process.Pid)
	if occupied.Link == 0 || len(occupied.Processes) != 1 || !strings.HasPrefix(occupied.Processes[0], pid) {
		t.Errorf("%+v, want a link of %s", occupied, pid)
	}
	if !strings.Contains(err.Error(), "cannot be replaced") {
		t.Error(err)
	}
}

func TestForeignPinIsNamed(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	other := open(t, Options{Pins: openPins(t, newPinDir(t))})
	attach(t, other, eth0, Generic)
	s := open(t, Options{})
	_, err := s.Attach(eth0, Generic)
	if err == nil || !strings.Contains(err.Error(), other.pins.linkPath(eth0)) {
		t.Errorf("%v, want the pin %s named", err, other.pins.linkPath(eth0))
	}
}

func TestInterfaceDeletedAndMadeAgain(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	s := open(t, Options{Pins: openPins(t, newPinDir(t))})
	attach(t, s, eth0, Native)
	if err := ns.Delete("eth0"); err != nil {
		t.Fatal(err)
	}
	_, again := vethPair(t, ns, "eth0")
	if again == eth0 {
		t.Fatalf("index %d was given out again", again)
	}
	attach(t, s, again, Native)
	if _, err := os.Stat(s.pins.linkPath(eth0)); !os.IsNotExist(err) {
		t.Errorf("the pin of the old interface: %v", err)
	}
	if list, err := s.Attached(); err != nil || len(list) != 1 || list[0] != again {
		t.Errorf("attached to %v, %v; want %d", list, err, again)
	}
}

func TestDetach(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	_, eth1 := vethPair(t, ns, "eth1")
	s := open(t, Options{Pins: openPins(t, newPinDir(t))})
	attach(t, s, eth0, Native)
	attach(t, s, eth1, Native)
	for range 2 { // the second time there is nothing to do
		if err := s.Detach(eth0); err != nil {
			t.Fatal(err)
		}
	}
	if id, _ := runningOn(t, eth0); id != 0 {
		t.Errorf("program %d still runs", id)
	}
	if id, _ := runningOn(t, eth1); id == 0 {
		t.Error("detached from the other interface too")
	}
	if pins, err := filepath.Glob(filepath.Join(s.pins.path, linkPrefix+"*")); err != nil || len(pins) != 1 {
		t.Errorf("pins %v, %v", pins, err)
	}
}
