package ring_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/ring"
	"github.com/xlvs/xlvs/ring/ringtest"
)

func busySocket(t *testing.T, busy ring.BusyPoll) (*ringtest.Kernel, *ringtest.NIC, *ring.UMEM, *ring.Socket) {
	t.Helper()
	k := ringtest.New()
	n := k.AddNIC(1, 1)
	u, err := k.NewUMEM(ring.UMEMConfig{Frames: 256, FrameSize: 2048})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ring.Open(u, ring.SocketConfig{Interface: 1, RX: 64, TX: 64, Fill: 64, BusyPoll: busy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), u.Close()); err != nil {
			t.Error(err)
		}
	})
	return k, n, u, s
}

// Frames that no interrupt announces are found by Flush and by Wait.
func TestBusyPollReceives(t *testing.T) {
	_, n, u, s := busySocket(t, ring.BusyPoll{Microseconds: 50, Budget: 64})
	w, err := ring.NewWaiter(u)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	n.SetMasked(true)
	receive := func(by string, look func() error) {
		t.Helper()
		if err := n.Deliver(0, make([]byte, 60)); err != nil {
			t.Fatal(err)
		}
		descs := make([]ring.Desc, 4)
		if got := s.Receive(descs); got != 0 {
			t.Fatalf("%d frames before anybody looked", got)
		}
		if err := look(); err != nil {
			t.Fatal(err)
		}
		if got := s.Receive(descs); got != 1 {
			t.Fatalf("%s found %d frames, want 1", by, got)
		}
		u.Free(descs[0])
	}
	receive("Flush", s.Flush)
	receive("Wait", func() error { return w.Wait([]*ring.Socket{s}, time.Minute) })
	if polls := s.Stats().Polls; polls != 1 {
		t.Errorf("%d polls by Wait, want 1", polls)
	}
	if allocs := testing.AllocsPerRun(100, func() { w.Wait([]*ring.Socket{s}, time.Microsecond) }); allocs > 1 { // the slice
		t.Errorf("%v allocations a wait", allocs)
	}
	if err := s.SetBusyPoll(ring.BusyPoll{}); err != nil {
		t.Fatal(err)
	}
	polls := s.Stats().Polls
	if err := w.Wait([]*ring.Socket{s}, time.Microsecond); err != nil || s.Stats().Polls != polls {
		t.Errorf("it polls on after it was switched off: %v", err)
	}
}

// An idle socket polls as long as it was told to, then sleeps.
func TestBusyPollEnds(t *testing.T) {
	k, _, u, s := busySocket(t, ring.BusyPoll{Microseconds: 200, Budget: 8})
	w, err := ring.NewWaiter(u)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	start := k.Now()
	if err := w.Wait([]*ring.Socket{s}, 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if took := k.Now().Sub(start); took < 20*time.Millisecond {
		t.Errorf("Wait returned after %v, without a frame", took)
	}
	if s.Stats().Polls == 0 {
		t.Error("it never polled")
	}
}

func TestBusyPollIsRefused(t *testing.T) {
	k, _, u, s := busySocket(t, ring.BusyPoll{})
	for name, b := range map[string]ring.BusyPoll{
		"too long": {Microseconds: ring.MaxBusyPoll + 1, Budget: 8}, "no budget": {Microseconds: 1},
		"large budget": {Microseconds: 1, Budget: 1 << 16},
	} {
		if err := s.SetBusyPoll(b); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := ring.Open(u, ring.SocketConfig{Interface: 1, Queue: 1, BusyPoll: b}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	k.FailNext("SetBusyPoll", unix.ENOPROTOOPT)
	if err := s.SetBusyPoll(ring.BusyPoll{Microseconds: 1, Budget: 8}); !errors.Is(err, unix.ENOPROTOOPT) {
		t.Errorf("an old kernel: %v", err)
	}
	if err := s.SetTXBudget(31); err == nil {
		t.Error("budget 31 was taken")
	}
	if err := s.SetTXBudget(48); err != nil || s.TXBudget() != 48 {
		t.Errorf("budget 48: %v, is %d", err, s.TXBudget())
	}
}

// The kernel takes the options, before the socket is bound and while it is.
func TestVethBusyPoll(t *testing.T) {
	w := newWire(t)
	u := newUMEM(t, 4096+64)
	s := w.open(t, u, ring.SocketConfig{Interface: w.pair(t, 0, 1, 0), BusyPoll: ring.BusyPoll{Microseconds: 20, Budget: 64}})
	option := func(name int) int {
		v, err := unix.GetsockoptInt(s.FD(), unix.SOL_SOCKET, name)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if prefer, spin := option(unix.SO_PREFER_BUSY_POLL), option(unix.SO_BUSY_POLL); prefer != 1 || spin != 20 {
		t.Errorf("SO_PREFER_BUSY_POLL %d, SO_BUSY_POLL %d", prefer, spin)
	}
	tp := w.tap(t, "out0")
	r := newReflector(u, s)
	exchange(t, r, tp, tp, 0, 256)
	if err := s.SetBusyPoll(ring.BusyPoll{}); err != nil {
		t.Fatal(err)
	}
	if prefer, spin := option(unix.SO_PREFER_BUSY_POLL), option(unix.SO_BUSY_POLL); prefer != 0 || spin != 0 {
		t.Errorf("off: SO_PREFER_BUSY_POLL %d, SO_BUSY_POLL %d", prefer, spin)
	}
	exchange(t, r, tp, tp, 256, 256)
}
