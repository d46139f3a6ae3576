package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
)

// TestStopLeavesNothing compares the host before the start and after the stop.
func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, options := range []string{"", "ephemeral"} {
		b := newBed(t, 2, 2)
		before := b.hostState()
		b.start(b.config(loadPolicy(1))+"addresses: {add: true, interface: eth0, announce_count: 1}\n", options)
		b.probe(b.wires[0], b.wires[1], flowOf(1, 1000, udpTo(7)))
		during := b.hostState()
		wantTexts(t, "while it runs", during, "xdp", vip+"/32", vip6+"/128", b.socket())
		if pinned := strings.Contains(during, b.pin); pinned != (options == "") {
			t.Errorf("options %q: pinned: %t", options, pinned)
		}
		b.stop()
		if after := b.hostState(); after != before {
			t.Errorf("options %q: the host was\n%s\nand is\n%s", options, before, after)
		}
	}
}

// TestKilledEphemeralLeavesNothing: nothing but the socket's file and addresses.
func TestKilledEphemeralLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	before := b.hostState()
	b.start(b.config(loadPolicy(0)), "ephemeral")
	b.probe(b.wires[0], b.wires[0], flowOf(1, 1000, udpTo(7)))
	b.kill()
	must(t, os.Remove(b.socket()))
	eventually(t, "the kernel has taken the program away", func() error {
		if after := b.hostState(); after != before {
			return fmt.Errorf("the host was\n%s\nand is\n%s", before, after)
		}
		return nil
	})
}

// TestRefusedStarts wants a reason that says what to do, and a host as before.
func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	plain := func(b *bed) string { return b.config(loadPolicy(0)) }
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, b *bed)
		config  func(b *bed) string
		wants   []string
	}{
		{
			name: "no such interface",
			config: func(b *bed) string {
				b.interfaces = "[{name: eth0}, {name: eth7}, {name: eth8}]"
				return plain(b)
			},
			wants: []string{"no interface eth7", "no interface eth8"},
		},
		{
			name: "no such queue",
			config: func(b *bed) string {
				b.interfaces = "[{name: eth0, queues: [0, 3]}]"
				return plain(b)
			},
			wants: []string{"eth0", "2 receive queues", "queue 3"},
		},
		{
			name:    "MTU too large",
			prepare: func(t *testing.T, b *bed) { setMTU(t, b, 3000) },
			config:  plain,
			wants:   []string{"eth0", "MTU 3000", "rings.frame_size"},
		},
		{
			name:    "MTU too large for any frame",
			prepare: func(t *testing.T, b *bed) { setMTU(t, b, 9000) },
			config:  func(b *bed) string { return plain(b) + "rings: {frame_size: 4096}\n" },
			wants:   []string{"eth0", "MTU 9000", "at most: lower the MTU\n"},
		},
		{
			name:    "foreign program",
			prepare: foreignProgram,
			config:  plain,
			wants:   []string{"eth0", "another XDP program", `"foreign"`, "--replace"},
		},
		{
			name:    "foreign link",
			prepare: foreignLink,
			config:  plain,
			wants:   []string{"eth0", "another XDP program", `"foreign"`, "bpftool link detach", fmt.Sprintf("pid %d", os.Getpid())},
		},
		{
			name: "a file in the socket's place",
			prepare: func(t *testing.T, b *bed) {
				must(t, os.WriteFile(b.socket(), []byte("precious"), 0o600))
			},
			config: plain,
			wants:  []string{"control socket", "no socket"},
		},
		{
			name: "a living control socket",
			prepare: func(t *testing.T, b *bed) {
				l, err := net.Listen("unix", b.socket())
				must(t, err)
				t.Cleanup(func() { l.Close() })
			},
			config: plain,
			wants:  []string{"another director", "control.socket"},
		},
		{
			name:    "no bpffs",
			prepare: func(t *testing.T, b *bed) { b.pin = t.TempDir() },
			config:  plain,
			wants:   []string{"not on a bpffs", "/sys/fs/bpf"},
		},
		{
			name: "no such interface for addresses",
			config: func(b *bed) string {
				return plain(b) + "addresses: {add: true, interface: eth9}\n"
			},
			wants: []string{"eth9"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, 2)
			if test.prepare != nil {
				test.prepare(t, b)
			}
			config := test.config(b)
			before := b.hostState()
			wantTexts(t, "the refusal", b.refused(config), test.wants...)
			if after := b.hostState(); after != before {
				t.Errorf("the host was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

func setMTU(t *testing.T, b *bed, mtu int) {
	t.Helper()
	for ns, name := range map[*netlink.Handle]string{b.inside.Netlink(): "eth0", b.outside.Netlink(): "wire0"} {
		l, err := ns.LinkByName(name)
		must(t, err)
		must(t, ns.LinkSetMTU(l, mtu))
	}
}

// passAll loads an XDP program of somebody else.
func passAll(t testing.TB) *ebpf.Program {
	t.Helper()
	must(t, rlimit.RemoveMemlock())
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "foreign", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
	must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func foreignProgram(t *testing.T, b *bed) {
	t.Helper()
	l, err := b.inside.Netlink().LinkByName("eth0")
	must(t, err)
	program := passAll(t)
	must(t, b.inside.Do(func() error { return netlink.LinkSetXdpFd(l, program.FD()) }))
}

func foreignLink(t *testing.T, b *bed) {
	t.Helper()
	index, err := b.inside.Index("eth0")
	must(t, err)
	program := passAll(t)
	must(t, b.inside.Do(func() error {
		l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: index})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	}))
}

// TestReplace takes the place of another program when told to.
func TestReplace(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	foreignProgram(t, b)
	b.start(b.config(loadPolicy(0)), "replace")
	b.probe(b.wires[0], b.wires[0], flowOf(1, 1000, udpTo(7)))
	b.stop()
}

// TestSecondInstance refuses to share anything with a running director, which
// does not notice.
func TestSecondInstance(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	must(t, b.inside.AddAddr("lo", netip.MustParsePrefix(vip+"/32")))
	b.start(b.config(loadPolicy(0)))
	flow := flowOf(1, 1000, udpTo(7))
	server := b.probe(b.wires[0], b.wires[0], flow)
	pid := fmt.Sprintf("pid %d", b.process.ID())
	for _, test := range []struct {
		what        string
		pin, socket bool // shared
		wants       []string
	}{
		{what: "the same configuration", pin: true, socket: true, wants: []string{"another director", b.socket()}},
		{what: "another socket", pin: true, wants: []string{"in use by", pid, b.pin}},
		{what: "other pins", socket: true, wants: []string{"another director", b.socket()}},
		{what: "the same interface alone", wants: []string{"eth0", pid}},
	} {
		second := *b
		second.director = newDirector(t, b.inside)
		other := second.pin
		if test.pin {
			second.pin = b.pin
		}
		config := second.config(loadPolicy(0))
		if test.socket {
			config = strings.Replace(config, second.socket(), b.socket(), 1)
		}
		before := b.hostState()
		wantTexts(t, test.what, second.refused(config), test.wants...)
		if after := b.hostState(); after != before {
			t.Errorf("%s: the host was\n%s\nand is\n%s", test.what, before, after)
		}
		second.pin = other
		if exists(other) || exists(second.socket()) {
			t.Errorf("%s: %s or %s is left", test.what, other, second.socket())
		}
		if got := b.probe(b.wires[0], b.wires[0], flow); got != server {
			t.Errorf("%s: the client moved from server %d to %d", test.what, server, got)
		}
	}
	b.stop()
}
