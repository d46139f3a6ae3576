package bpf

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netns"

	"github.com/xlvs/xlvs/internal/testnet"
)

// enum xdp_action
const (
	xdpDrop     = 1
	xdpPass     = 2
	xdpRedirect = 4
)

var actionNames = map[uint32]string{xdpDrop: "drop", xdpPass: "pass", xdpRedirect: "redirect"}

// open opens a Steering that ends with the test.
func open(tb testing.TB, o Options) *Steering {
	tb.Helper()
	s, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

// openPins opens a pin directory for the rest of the test.
func openPins(tb testing.TB, dir string) *Pins {
	tb.Helper()
	pins, err := OpenPins(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := pins.Close(); err != nil {
			tb.Errorf("close pins: %v", err)
		}
	})
	return pins
}

// closeAll closes what ends before the test does.
func closeAll(tb testing.TB, closers ...interface{ Close() error }) {
	tb.Helper()
	for _, c := range closers {
		if err := c.Close(); err != nil {
			tb.Fatal(err)
		}
	}
}

// steering opens an ephemeral Steering with rules and services, falling back to drop.
func steering(tb testing.TB, rules []Rule, services []Service) *Steering {
	tb.Helper()
	s := open(tb, Options{})
	update(tb, s, rules, services)
	return s
}

func update(tb testing.TB, s *Steering, rules []Rule, services []Service) {
	tb.Helper()
	if err := s.Update(rules, services); err != nil {
		tb.Fatal(err)
	}
}

// xdpContext is struct xdp_md as BPF_PROG_RUN takes it.
type xdpContext struct {
	Data, DataEnd, DataMeta, Interface, Queue, Egress uint32
}

// run gives a frame to the program, as received by an interface of the thread's
// namespace (0: loopback), and returns the action.
func run(tb testing.TB, s *Steering, frame []byte, ifindex int) uint32 {
	tb.Helper()
	o := &ebpf.RunOptions{Data: frame}
	if ifindex != 0 {
		o.Context = xdpContext{DataEnd: uint32(len(frame)), Interface: uint32(ifindex)}
	}
	action, err := s.objects.XlvsSteer.Run(o)
	if err != nil {
		tb.Fatal(err)
	}
	return action
}

// restoring is a program that makes a frame what it was, and goes on to the steering
// program: BPF_PROG_RUN repeats a run with the frame as the last one left it, so that a TTL
// would run out. It costs a few nanoseconds.
func restoring(tb testing.TB, s *Steering, frame []byte) *ebpf.Program {
	tb.Helper()
	next, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { next.Close() })
	if err := next.Put(uint32(0), s.objects.XlvsSteer); err != nil {
		tb.Fatal(err)
	}
	const data, end, changes = 0, 4, 32 // offsets in struct xdp_md; the bytes that may change
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R1, data, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, end, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, changes),
		asm.JGT.Reg(asm.R4, asm.R3, "next"),
	}
	for at := 0; at < changes && at+8 <= len(frame); at += 8 {
		code = append(code, asm.LoadImm(asm.R5, int64(binary.LittleEndian.Uint64(frame[at:])), asm.DWord),
			asm.StoreMem(asm.R2, int16(at), asm.R5, asm.DWord))
	}
	code = append(code, asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("next"), asm.LoadMapPtr(asm.R2, next.FD()),
		asm.Mov.Imm(asm.R3, 0), asm.FnTailCall.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return())
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "restoring", Type: ebpf.XDP, AttachType: ebpf.AttachXDP, Instructions: code, License: "GPL",
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { program.Close() })
	return program
}

func counters(tb testing.TB, s *Steering) Counters {
	tb.Helper()
	c, err := s.Counters()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// reasonOf gives a frame to the program and returns why it went where it went.
// It checks that the action is the one of the reason and that exactly one
// reason was counted. There are no sockets.
func reasonOf(tb testing.TB, s *Steering, frame []byte) Reason {
	tb.Helper()
	before := counters(tb, s)
	action := run(tb, s, frame, 0)
	after := counters(tb, s)
	found, noSocket := -1, uint64(0)
	for i := range after {
		switch n := after[i] - before[i]; {
		case n == 0:
		case Reason(i) == NoSocket:
			noSocket = n
		case n == 1 && found < 0:
			found = i
		default:
			tb.Fatalf("counted %v, before %v", after, before)
		}
	}
	if found < 0 {
		tb.Fatalf("frame % x was not counted", frame)
	}
	want, claimed := uint32(xdpPass), Reason(found) <= ClaimedError
	if claimed || Reason(found) == NoConnection {
		want = xdpDrop
	}
	if action != want || (noSocket == 1) != claimed {
		tb.Fatalf("%s: %s, %d without socket", Reason(found), actionNames[action], noSocket)
	}
	return Reason(found)
}

// enterNamespace puts the test's thread into a new network namespace, for good:
// the thread ends with the test.
func enterNamespace(tb testing.TB) *testnet.Namespace {
	tb.Helper()
	runtime.LockOSThread()
	ns, err := testnet.New()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ns.Close() })
	if err := netns.Set(netns.NsHandle(ns.Fd())); err != nil {
		tb.Fatal(err)
	}
	return ns
}

// vethPair makes a pair between the test's namespace and another one and
// returns the other and the index of the near end.
func vethPair(tb testing.TB, near *testnet.Namespace, name string) (far *testnet.Namespace, ifindex int) {
	tb.Helper()
	far, err := testnet.New()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { far.Close() })
	if err := testnet.Pair(testnet.Veth{Namespace: near, Name: name}, testnet.Veth{Namespace: far, Name: name}); err != nil {
		tb.Fatal(err)
	}
	return far, indexOf(tb, near, name)
}

func indexOf(tb testing.TB, ns *testnet.Namespace, name string) int {
	tb.Helper()
	index, err := ns.Index(name)
	if err != nil {
		tb.Fatal(err)
	}
	return index
}

var pinDirs atomic.Int32

// newPinDir returns the name of a pin directory that is the test's own and is
// cleared after it, links included.
func newPinDir(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join(bpffsMount, fmt.Sprintf("xlvs-test-%d-%d", os.Getpid(), pinDirs.Add(1)))
	tb.Cleanup(func() { clearPinDir(tb, dir) })
	return dir
}

func clearPinDir(tb testing.TB, dir string) {
	if _, err := detachPinned(dir); err != nil {
		tb.Errorf("clear pin directory: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		tb.Errorf("pin directory %s is still there", dir)
	}
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

func service(protocol Protocols, addr string, port uint16) Service {
	return Service{Protocol: protocol, Addr: netip.MustParseAddr(addr), Port: port}
}
