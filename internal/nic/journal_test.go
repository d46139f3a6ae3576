package nic

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/testnet"
)

// pair makes a namespace with a veth of two queues, "eth0", whose other end is in
// it too. With GRO a veth has NAPI instances.
func pair(t *testing.T) (ns *testnet.Namespace, index int) {
	t.Helper()
	ns, err := testnet.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	if err := testnet.Pair(testnet.Veth{Namespace: ns, Name: "eth0", Queues: 2}, testnet.Veth{Namespace: ns, Name: "far0", Queues: 2}); err != nil {
		t.Fatal(err)
	}
	if index, err = ns.Index("eth0"); err != nil {
		t.Fatal(err)
	}
	if err := ns.SetFeatures("eth0", true, "rx-gro"); err != nil {
		t.Fatal(err)
	}
	return ns, index
}

func in(t *testing.T, ns *testnet.Namespace, f func() error) {
	t.Helper()
	if err := ns.Do(f); err != nil {
		t.Fatal(err)
	}
}

// timers reads the timers of all instances.
func timers(t *testing.T, ns *testnet.Namespace, index int) (all []Timers) {
	t.Helper()
	in(t, ns, func() error {
		napis, err := ReadNAPIs(index)
		for _, n := range napis {
			all = append(all, *n.Timers)
		}
		return err
	})
	return all
}

var (
	zero  = Timers{}
	first = Timers{DeferHardIRQs: 2, GROFlushTimeout: 200_000}
	other = Timers{DeferHardIRQs: 7, GROFlushTimeout: 5_000_000_000} // more than 32 bits of nanoseconds
)

func wantTimers(t *testing.T, ns *testnet.Namespace, index int, want Timers) {
	t.Helper()
	all := timers(t, ns, index)
	if len(all) != 2 {
		t.Fatalf("%d NAPI instances, want 2", len(all))
	}
	for i, got := range all {
		if got != want {
			t.Errorf("instance %d: %v, want %v", i, got, want)
		}
	}
}

// What is set is put back, also by the next process, and also after a second change.
func TestJournalPutsTimersBack(t *testing.T) {
	ns, index := pair(t)
	path := filepath.Join(t.TempDir(), "run", "host.json")
	in(t, ns, func() error {
		j, done, err := OpenJournal(path)
		if err != nil || len(done) > 0 {
			t.Errorf("a journal of nothing: %v, %v", done, err)
		}
		return errors.Join(j.SetTimers("eth0", index, []int{0, 1}, other), j.SetTimers("eth0", index, []int{0, 1}, first))
	})
	wantTimers(t, ns, index, first)
	in(t, ns, func() error { // as if the process had been killed
		j, done, err := OpenJournal(path)
		if len(done) != 2 || len(j.Changes()) != 0 {
			t.Errorf("put back %q, left %v", done, j.Changes())
		}
		return err
	})
	wantTimers(t, ns, index, zero)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

// What somebody else has set since is his.
func TestJournalLeavesOthersChanges(t *testing.T) {
	ns, index := pair(t)
	path := filepath.Join(t.TempDir(), "host.json")
	in(t, ns, func() error {
		j, _, err := OpenJournal(path)
		if err != nil {
			return err
		}
		if err := j.SetTimers("eth0", index, []int{0, 1}, first); err != nil {
			return err
		}
		for _, c := range j.Changes() {
			if err := SetNAPI(c.NAPI, other); err != nil {
				return err
			}
		}
		done, err := j.Restore()
		if len(done) != 2 || !strings.Contains(done[0], "somebody else") {
			t.Errorf("said %q", done)
		}
		return err
	})
	wantTimers(t, ns, index, other)
}

// The interface as a whole, as kernels before 6.13 have it. The /sys of this
// process shows another namespace than the one that is meant.
func TestJournalOfInterfaceTimers(t *testing.T) {
	ns, index := pair(t)
	path := filepath.Join(t.TempDir(), "host.json")
	in(t, ns, func() error {
		j, _, err := OpenJournal(path)
		if err != nil {
			return err
		}
		return j.setInterfaceTimers("eth0", index, first)
	})
	wantTimers(t, ns, index, first)
	in(t, ns, func() error {
		if got, err := InterfaceTimers("eth0", index); got != first || err != nil {
			t.Errorf("%v, %v", got, err)
		}
		_, done, err := OpenJournal(path)
		if len(done) != 1 {
			t.Errorf("put back %q", done)
		}
		return err
	})
	wantTimers(t, ns, index, zero)
	if now, err := os.ReadDir("/sys/class/net"); err != nil || len(now) == 0 {
		t.Errorf("/sys of this process: %v, %v", now, err)
	}
}

// An interface that is gone, or is another one by now, has nothing to put back.
func TestJournalOfAnInterfaceThatIsGone(t *testing.T) {
	ns, index := pair(t)
	path := filepath.Join(t.TempDir(), "host.json")
	in(t, ns, func() error {
		j, _, err := OpenJournal(path)
		if err != nil {
			return err
		}
		return j.SetTimers("eth0", index, []int{0, 1}, first)
	})
	if err := ns.Delete("eth0"); err != nil {
		t.Fatal(err)
	}
	if err := testnet.Pair(testnet.Veth{Namespace: ns, Name: "eth0"}, testnet.Veth{Namespace: ns, Name: "far0"}); err != nil {
		t.Fatal(err)
	}
	in(t, ns, func() error {
		_, done, err := OpenJournal(path)
		if len(done) > 0 {
			t.Errorf("put back %q", done)
		}
		return err
	})
}

// A change that the kernel refuses leaves no trace, and a file that is no journal
// is not touched.
func TestJournalOfWhatIsRefused(t *testing.T) {
	ns, index := pair(t)
	path := filepath.Join(t.TempDir(), "host.json")
	in(t, ns, func() error {
		j, _, err := OpenJournal(path)
		if err != nil {
			return err
		}
		if err := j.SetTimers("eth0", index, []int{0, 1}, Timers{DeferHardIRQs: 1 << 31}); err == nil {
			t.Error("more than the kernel takes was taken")
		}
		usecs := uint32(5)
		if err := j.SetCoalescing("eth0", index, Coalescing{RXMicroseconds: &usecs}); !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("coalescing of a veth: %v", err)
		}
		if len(j.Changes()) > 0 {
			t.Errorf("left %v", j.Changes())
		}
		return nil
	})
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file of nothing: %v", err)
	}
	if err := os.WriteFile(path, []byte("not JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenJournal(path); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a file that is no journal: %v", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "not JSON" {
		t.Errorf("it was changed to %q", data)
	}
}

// A tap counts frames before it interrupts: the one virtual interface with
// coalescing.
func TestJournalPutsCoalescingBack(t *testing.T) {
	ns, err := testnet.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	path := filepath.Join(t.TempDir(), "host.json")
	in(t, ns, func() error {
		attributes := netlink.NewLinkAttrs()
		attributes.Name = "tap0"
		tap := &netlink.Tuntap{LinkAttrs: attributes, Mode: netlink.TUNTAP_MODE_TAP}
		if err := netlink.LinkAdd(tap); err != nil {
			return err
		}
		frames := func(want uint32) {
			t.Helper()
			if c, err := ReadCoalescing("tap0"); err != nil || value(c.RXFrames) != want {
				t.Errorf("rx-frames %v, want %d: %v", c, want, err)
			}
		}
		j, _, err := OpenJournal(path)
		if err != nil {
			return err
		}
		for _, n := range []uint32{5, 9} {
			if err := j.SetCoalescing("tap0", tap.Index, Coalescing{RXFrames: &n}); err != nil {
				return err
			}
			frames(n)
		}
		if n := len(j.Changes()); n != 1 {
			t.Errorf("%d changes, want one", n)
		}
		_, done, err := OpenJournal(path)
		if len(done) != 1 {
			t.Errorf("put back %q", done)
		}
		frames(0)
		return err
	})
}

// The host's own interfaces tell what they tell, and that fits together.
func TestRead(t *testing.T) {
	ns, index := pair(t)
	in(t, ns, func() error {
		i, err := Read("eth0")
		if err != nil {
			return err
		}
		switch {
		case i.Index != index || !i.Up || i.MTU != 1500:
			t.Errorf("%+v", i)
		case i.Driver == nil || i.Driver.Name != "veth":
			t.Errorf("driver %+v", i.Driver)
		case i.Channels == nil || i.Channels.RX+i.Channels.Combined != 2:
			t.Errorf("channels %+v", i.Channels)
		case !i.Features["rx-gro"] || i.Features["rx-lro"]:
			t.Errorf("features %v", i.Features)
		case len(i.NAPIs) != 2 || i.Timers == nil:
			t.Errorf("NAPI %v, timers %v", i.NAPIs, i.Timers)
		}
		if _, err := Read("eth9"); err == nil {
			t.Error("an interface that is not there was read")
		}
		return nil
	})
}
