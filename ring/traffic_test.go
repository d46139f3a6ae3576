package ring_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/testnet"
	"github.com/xlvs/xlvs/ring"
)

// exchange sends frames numbered from first on, lets the reflector return them
// to back, and fails unless each comes back exactly once.
func exchange(t *testing.T, r *reflector, from, back *tap, first, frames uint64) {
	t.Helper()
	seen := make(map[uint64]int)
	receive := func() {
		if err := back.receive(seen); err != nil {
			t.Fatal(err)
		}
	}
	for n := first; n < first+frames; n++ {
		if err := from.send(n, byte(n)); err != nil {
			t.Fatal(err)
		}
		if n%16 == 15 {
			if _, err := r.step(); err != nil {
				t.Fatal(err)
			}
			receive()
		}
	}
	r.until(t, fmt.Sprintf("%d frames back", frames), func() bool {
		receive()
		return len(seen) == int(frames)
	})
	for n, times := range seen {
		if times != 1 || n < first || n >= first+frames {
			t.Errorf("frame %d came back %d times", n, times)
		}
	}
}

func TestVethQueues(t *testing.T) {
	for _, queues := range []int{1, 2, 4} {
		for name, flags := range map[string]link.XDPAttachFlags{"native": 0, "generic": link.XDPGenericMode} {
			t.Run(fmt.Sprintf("%d queues %s", queues, name), func(t *testing.T) {
				w := newWire(t)
				index := w.pair(t, 0, queues, flags)
				u := newUMEM(t, uint32(queues)*4096+64)
				var sockets []*ring.Socket
				for q := range queues {
					mode := ring.Copy
					if flags == link.XDPGenericMode {
						mode = ring.Generic
					}
					s := w.open(t, u, ring.SocketConfig{Interface: index, Queue: uint32(q), Mode: mode})
					if s.Mode() != mode {
						t.Errorf("%v: mode %v, want %v", s, s.Mode(), mode)
					}
					sockets = append(sockets, s)
				}
				tp := w.tap(t, "out0")
				r := newReflector(u, sockets...)
				exchange(t, r, tp, tp, 0, 5000)
				if r.lost > 0 {
					t.Errorf("%d frames found a full TX ring", r.lost)
				}
				for q, s := range sockets {
					stats := s.Stats()
					// In generic mode a veth tells the peer of one queue less than it
					// used, so the last one stays idle.
					idle := flags == link.XDPGenericMode && q > 0 && q == queues-1
					if !idle && stats.Received == 0 || stats.Foreign != 0 || stats.RXDropped != 0 || stats.TXInvalid != 0 {
						t.Errorf("%v: %+v", s, stats)
					}
				}
			})
		}
	}
}

// More frames than the socket has room for: each comes back once or is counted.
func TestVethOverload(t *testing.T) {
	w := newWire(t)
	u := newUMEM(t, 1024)
	s := w.open(t, u, ring.SocketConfig{Interface: w.pair(t, 0, 1, 0), RX: 256, TX: 256, Fill: 256})
	tp := w.tap(t, "out0")
	r := newReflector(u, s)
	seen := make(map[uint64]int)
	const bursts, burst = 20, 500
	for n := range uint64(bursts * burst) {
		if err := tp.send(n, 0); err != nil {
			t.Fatal(err)
		}
		if n%burst == burst-1 {
			if _, err := r.step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	accounted := func() int { return len(seen) + int(s.Stats().RXDropped) + r.lost }
	r.until(t, "every frame back or counted", func() bool {
		if err := tp.receive(seen); err != nil {
			t.Fatal(err)
		}
		return accounted() >= bursts*burst
	})
	if got := accounted(); got != bursts*burst || s.Stats().RXDropped == 0 {
		t.Errorf("%d of %d frames are accounted for: %d back, %+v", got, bursts*burst, len(seen), s.Stats())
	}
	for n, times := range seen {
		if times != 1 {
			t.Errorf("frame %d came back %d times", n, times)
		}
	}
	balanced(t, u)
}

// A frame crosses from one interface to another without a copy.
func TestVethSharedUMEM(t *testing.T) {
	w := newWire(t)
	u := newUMEM(t, 2*4096+64)
	left := w.open(t, u, ring.SocketConfig{Interface: w.pair(t, 0, 1, 0)})
	right := w.open(t, u, ring.SocketConfig{Interface: w.pair(t, 1, 1, 0)})
	r := newReflector(u, left, right)
	r.out[left], r.out[right] = right, left
	tap0, tap1 := w.tap(t, "out0"), w.tap(t, "out1")
	exchange(t, r, tap0, tap1, 0, 3000)
	exchange(t, r, tap1, tap0, 3000, 3000)
	if l, r := left.Stats(), right.Stats(); l.Received != 3000 || l.Transmitted != 3000 || r.Received != 3000 || r.Transmitted != 3000 {
		t.Errorf("left %+v, right %+v", l, r)
	}
}

func TestVethLinkDownAndUp(t *testing.T) {
	w := newWire(t)
	u := newUMEM(t, 8192)
	s := w.open(t, u, ring.SocketConfig{Interface: w.pair(t, 0, 1, 0)})
	tp := w.tap(t, "out0")
	r := newReflector(u, s)
	exchange(t, r, tp, tp, 0, 500)

	if err := w.director.Down("in0"); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); !errors.Is(err, ring.ErrDown) || !errors.Is(err, ring.ErrLinkDown) {
		t.Errorf("check with the link down: %v", err)
	}
	var d [8]ring.Desc
	for i := range d {
		d[i], _ = u.Alloc(64)
	}
	if n := s.Transmit(d[:]); n != len(d) {
		t.Fatalf("transmitted %d", n)
	}
	err := s.Flush()
	if !errors.Is(err, ring.ErrLinkDown) {
		t.Errorf("flush with the link down: %v", err)
	}
	if again := s.Flush(); again != err {
		t.Errorf("the same trouble is told as %v and then as %v", err, again)
	}

	if err := w.director.Up("in0"); err != nil {
		t.Fatal(err)
	}
	r.until(t, "link up", func() bool { return s.Check() == nil && s.Flush() == nil })
	exchange(t, r, tp, tp, 1000, 500)
	balanced(t, u)
}

// balanced fails unless every frame has one owner, none of them the test.
func balanced(t *testing.T, u *ring.UMEM) {
	t.Helper()
	a := u.Account()
	if err := a.Err(); err != nil {
		t.Error(err)
	}
	if a.Caller != 0 || a.Free+a.Limbo+a.Sockets != int(u.Config().Frames) {
		t.Errorf("%+v", a)
	}
}

// An interface that goes takes its socket with it and nothing else. Its
// successor joins the UMEM through the socket that is left.
func TestVethDeleted(t *testing.T) {
	w := newWire(t)
	u := newUMEM(t, 2*4096+64)
	first := w.open(t, u, ring.SocketConfig{Interface: w.pair(t, 0, 1, 0)})
	second := w.open(t, u, ring.SocketConfig{Interface: w.pair(t, 1, 1, 0)})
	tap0, tap1 := w.tap(t, "out0"), w.tap(t, "out1")
	r := newReflector(u, first, second)
	exchange(t, r, tap0, tap0, 0, 200)
	exchange(t, r, tap1, tap1, 0, 200)

	if err := w.outside.Delete("out0"); err != nil {
		t.Fatal(err)
	}
	err := first.Check()
	if !errors.Is(err, ring.ErrDown) || errors.Is(err, ring.ErrLinkDown) {
		t.Fatalf("check of a deleted interface: %v", err)
	}
	if err := first.Flush(); !errors.Is(err, ring.ErrDown) {
		t.Errorf("flush of a deleted interface: %v", err)
	}
	d, _ := u.Alloc(64)
	if first.Transmit([]ring.Desc{d}) != 0 {
		t.Error("a dead socket takes frames")
	}
	u.Free(d)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if second.Check() != nil {
		t.Errorf("the other interface: %v", second.Check())
	}
	r = newReflector(u, second)
	exchange(t, r, tap1, tap1, 200, 200)

	third := w.open(t, u, ring.SocketConfig{Interface: w.pair(t, 0, 1, 0)})
	tap0 = w.tap(t, "out0")
	r = newReflector(u, second, third)
	exchange(t, r, tap0, tap0, 0, 200)
	exchange(t, r, tap1, tap1, 400, 200)
	balanced(t, u)
}

// With all its sockets gone, a UMEM is registered anew; and a queue that was
// just closed is bound again.
func TestVethReopen(t *testing.T) {
	w := newWire(t)
	u := newUMEM(t, 4096+64)
	index := w.pair(t, 0, 1, 0)
	tp := w.tap(t, "out0")
	for i := range uint64(5) {
		s := w.open(t, u, ring.SocketConfig{Interface: index, BindTimeout: 5 * time.Second})
		exchange(t, newReflector(u, s), tp, tp, i*100, 100)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		balanced(t, u)
	}
}

func TestVethOpenErrors(t *testing.T) {
	w := newWire(t)
	taken, free := w.pair(t, 0, 1, 0), w.pair(t, 1, 1, 0)
	w.open(t, newUMEM(t, 8192), ring.SocketConfig{Interface: taken})
	for _, test := range []struct {
		config ring.SocketConfig
		errno  unix.Errno
		says   string
	}{
		{ring.SocketConfig{Interface: taken}, unix.EBUSY, fmt.Sprintf("pid %d (", os.Getpid())},
		{ring.SocketConfig{Interface: free, Queue: 7}, unix.EINVAL, "no such queue"},
		{ring.SocketConfig{Interface: free, Mode: ring.ZeroCopy}, unix.EOPNOTSUPP, "use mode copy"},
		{ring.SocketConfig{Interface: 1 << 20}, unix.ENODEV, "interface index 1048576"},
	} {
		_, err := w.tryOpen(newUMEM(t, 8192), test.config)
		if !errors.Is(err, test.errno) || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%+v: error %v, want %v with %q", test.config, err, test.errno, test.says)
		}
	}
}

// One system call sends a batch of 64 if the kernel can be told to; if it
// cannot, more follow at once and nothing is left behind.
func TestVethTransmitBudget(t *testing.T) {
	for _, budget := range []uint32{32, 64} {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			w := newWire(t)
			u := newUMEM(t, 8192)
			s := w.open(t, u, ring.SocketConfig{Interface: w.pair(t, 0, 1, 0), TXBudget: budget})
			tp := w.tap(t, "out0")
			batch := make([]ring.Desc, 64)
			for i := range batch {
				batch[i], _ = u.Alloc(64)
				copy(u.Bytes(batch[i]), tp.frame(uint64(i), 0))
			}
			if n := s.Transmit(batch); n != len(batch) {
				t.Fatalf("transmitted %d", n)
			}
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			want := uint64(len(batch)) / uint64(s.TXBudget())
			if stats := s.Stats(); stats.Kicks != want {
				t.Errorf("budget %d: %d system calls, want %d", s.TXBudget(), stats.Kicks, want)
			}
			seen := make(map[uint64]int)
			newReflector(u, s).until(t, "frames", func() bool {
				if err := tp.receive(seen); err != nil {
					t.Fatal(err)
				}
				return len(seen) == len(batch)
			})
		})
	}
}

func TestVethWaitSleeps(t *testing.T) {
	w := newWire(t)
	u := newUMEM(t, 8192)
	s := w.open(t, u, ring.SocketConfig{Interface: w.pair(t, 0, 1, 0)})
	tp := w.tap(t, "out0")
	waiter, err := ring.NewWaiter(u)
	if err != nil {
		t.Fatal(err)
	}
	defer waiter.Close()
	r := newReflector(u, s)
	exchange(t, r, tp, tp, 0, 100)

	const quiet = 300 * time.Millisecond
	start, before := time.Now(), cpuTime(t)
	if err := waiter.Wait(r.in, quiet); err != nil {
		t.Fatal(err)
	}
	if slept := time.Since(start); slept < quiet {
		t.Errorf("slept %v, want %v", slept, quiet)
	}
	if used := cpuTime(t) - before; used > quiet/4 {
		t.Errorf("used %v of CPU in %v of sleep", used, quiet)
	}

	timer := time.AfterFunc(20*time.Millisecond, func() { tp.send(100, 0) })
	defer timer.Stop()
	if err := waiter.Wait(r.in, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	var d [1]ring.Desc
	if s.Receive(d[:]) != 1 {
		t.Error("woke up without a frame")
	}
	u.Free(d[0])
}

// cpuTime is what the whole process has used.
func cpuTime(t *testing.T) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// The longest frame of the MTU that MaxMTU allows fits, with two VLAN tags; one
// byte more is dropped by the kernel and counted.
func TestVethMaxMTU(t *testing.T) {
	w := newWire(t)
	u := newUMEM(t, 8192)
	longest := u.Config().MaxMTU() + 14 + 8
	err := testnet.Pair(testnet.Veth{Namespace: w.outside, Name: "out0", MTU: 2400},
		testnet.Veth{Namespace: w.director, Name: "in0", MTU: 2400})
	if err != nil {
		t.Fatal(err)
	}
	w.maps["in0"] = newXSKMap(t, 1)
	w.attach(t, w.director, "in0", redirect(t, w.maps["in0"]), 0)
	index, err := w.director.Index("in0")
	if err != nil {
		t.Fatal(err)
	}
	s := w.open(t, u, ring.SocketConfig{Interface: index})
	tp := w.tap(t, "out0")
	for _, length := range []int{longest + 1, longest} {
		frame := append(tp.frame(1, 0), make([]byte, length-64)...)
		if err := unix.Sendto(tp.fd, frame, 0, &tp.to); err != nil {
			t.Fatal(err)
		}
	}
	var d [2]ring.Desc
	newReflector(u).until(t, "frame", func() bool { return s.Receive(d[:1]) == 1 })
	if got := len(u.Bytes(d[0])); got != longest {
		t.Errorf("received %d bytes, want %d", got, longest)
	}
	u.Free(d[0])
	if dropped := s.Stats().RXDropped; dropped != 1 {
		t.Errorf("%d frames dropped, want 1", dropped)
	}
}
