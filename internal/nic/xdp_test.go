package nic

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/testnet"
)

// featuresOf asks for the features of a namespace's interface.
func featuresOf(t *testing.T, ns *testnet.Namespace, name string) (features XDPFeatures) {
	t.Helper()
	index, err := ns.Index(name)
	if err == nil {
		err = ns.Do(func() error {
			features, err = ReadXDPFeatures(index)
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return features
}

// A veth sends what XDP hands to it while its peer takes XDP frames: with GRO or
// with a program. What the end itself has does not matter.
func TestVethSendsWhileItsPeerTakes(t *testing.T) {
	near, far := testnet.Fresh(t), testnet.Fresh(t)
	if err := testnet.Pair(testnet.Veth{Namespace: near, Name: "near"}, testnet.Veth{Namespace: far, Name: "far"}); err != nil {
		t.Fatal(err)
	}
	gro := func(ns *testnet.Namespace, name string, on bool) func() error {
		return func() error { return ns.SetFeatures(name, on, "rx-gro") }
	}
	program := passProgram(t)
	for _, step := range []struct {
		what     string
		do       func() error
		transmit bool
	}{
		{"as it is made", func() error { return nil }, false},
		{"GRO here", gro(near, "near", true), false},
		{"GRO on the peer", gro(far, "far", true), true},
		{"GRO there alone", gro(near, "near", false), true},
		{"no GRO", gro(far, "far", false), false},
		{"a program here", attach(near, "near", program.FD()), false},
		{"a program on the peer", attach(far, "far", program.FD()), true},
		{"a program there alone", attach(near, "near", -1), true},
		{"no program", attach(far, "far", -1), false},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		got := featuresOf(t, near, "near")
		if got&XDPTransmit != 0 != step.transmit || got&XDPBasic == 0 {
			t.Errorf("%s: features %#x, want sending %v", step.what, uint64(got), step.transmit)
		}
	}
}

func passProgram(t *testing.T) *ebpf.Program {
	t.Helper()
	const xdpPass = 2
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// attach puts a program (-1: none) on an interface.
func attach(ns *testnet.Namespace, name string, program int) func() error {
	return func() error {
		return ns.Do(func() error {
			link, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			return netlink.LinkSetXdpFdWithFlags(link, program, unix.XDP_FLAGS_DRV_MODE)
		})
	}
}

// Interfaces whose drivers run no programs have no features, which is no error.
func TestFeaturesWithoutXDP(t *testing.T) {
	ns := testnet.Fresh(t)
	if err := ns.AddBridge("bridge"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lo", "bridge"} {
		if got := featuresOf(t, ns, name); got != 0 {
			t.Errorf("%s: features %#x", name, uint64(got))
		}
	}
}

func TestFeaturesOfNoInterface(t *testing.T) {
	err := testnet.Fresh(t).Do(func() error {
		_, err := ReadXDPFeatures(1 << 30)
		return err
	})
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("%v, want %v", err, unix.ENODEV)
	}
}
