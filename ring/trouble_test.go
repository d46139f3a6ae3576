package ring_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/ring"
	"github.com/xlvs/xlvs/ring/ringtest"
)

func zeroCopy(_ *ringtest.Kernel, n *ringtest.NIC) { n.SetDriver("i40e", true) }

// A kernel that takes fewer than offered is asked again, in the same Flush.
func TestFlushLeavesNothingBehind(t *testing.T) {
	b := newBed(t, 1)
	b.nic.SetLimit(17)
	send(t, b, b.sockets[0], 64)
	if got := len(b.nic.Sent(0)); got != 64 {
		t.Errorf("sent %d of 64 frames", got)
	}
}

// A kernel that takes nothing is not asked for ever, and gets the rest later.
func TestFlushIsBounded(t *testing.T) {
	for name, stop := range map[string]func(*bed, bool){
		"takes nothing": func(b *bed, on bool) { b.nic.SetStuck(on) },
		"drops all":     func(b *bed, on bool) { b.nic.SetDrop(on) },
	} {
		b := newBed(t, 1)
		stop(b, true)
		before := b.nic.Kicks()
		send(t, b, b.sockets[0], 64)
		if kicks := b.nic.Kicks() - before; kicks > 10 {
			t.Errorf("%s: %d kicks in one flush", name, kicks)
		}
		if stats := b.sockets[0].Stats(); stats.TXBusy == 0 {
			t.Errorf("%s: %+v", name, stats)
		}
		stop(b, false)
		if err := b.sockets[0].Flush(); err != nil {
			t.Error(err)
		}
		if free := b.umem.FreeFrames(); free != 2*ringSize {
			t.Errorf("%s: %d frames are free, want %d", name, free, 2*ringSize)
		}
	}
}

func TestTransmitTakesWhatFits(t *testing.T) {
	b := newBed(t, 1)
	s := b.sockets[0]
	b.nic.SetStuck(true)
	batch := make([]ring.Desc, ringSize+10)
	for i := range batch {
		batch[i], _ = b.umem.Alloc(64)
	}
	if took := s.Transmit(batch); took != ringSize {
		t.Fatalf("took %d of %d, the ring has %d", took, len(batch), ringSize)
	}
	for _, d := range batch[ringSize:] {
		if !b.umem.Free(d) {
			t.Error("what was not taken is not the caller's")
		}
	}
	if s.Stats().TXFull != 10 {
		t.Errorf("%+v", s.Stats())
	}
	b.nic.SetStuck(false)
	if err := s.Flush(); err != nil || len(b.nic.Sent(0)) != ringSize {
		t.Errorf("the full ring was not sent: %v", err)
	}
}

// Late completions fill the completion ring; the kernel then refuses, and the
// socket picks up again when they come.
func TestLateCompletions(t *testing.T) {
	b := newBed(t, 1)
	s := b.sockets[0]
	b.nic.SetLate(true)
	send(t, b, s, 64)
	send(t, b, s, 10)
	if got := len(b.nic.Sent(0)); got != 64 {
		t.Fatalf("sent %d, the completion ring has room for 64", got)
	}
	b.nic.Complete(5)
	if err := s.Flush(); err != nil || len(b.nic.Sent(0)) != 5 {
		t.Errorf("after 5 completions: %v", err)
	}
	b.nic.SetLate(false)
	b.nic.Complete(100)
	if err := s.Flush(); err != nil || len(b.nic.Sent(0)) != 5 {
		t.Errorf("after all completions: %v", err)
	}
	if free := b.umem.FreeFrames(); free != 2*ringSize {
		t.Errorf("%d frames are free, want %d", free, 2*ringSize)
	}
}

// A driver that publishes a frame twice, in either direction, cannot make it
// have two owners.
func TestLyingDriver(t *testing.T) {
	b := newBed(t, 1)
	s := b.sockets[0]
	b.nic.SetLying(true)
	for i := range uint64(10) {
		b.deliver(t, 0, numbered(i))
	}
	var batch [64]ring.Desc
	n := s.Receive(batch[:])
	if n != 10 {
		t.Fatalf("received %d frames, want 10", n)
	}
	for i, d := range batch[:n] {
		if got := number(b.umem.Bytes(d)); got != uint64(i) {
			t.Errorf("frame %d is %d", i, got)
		}
	}
	s.Transmit(batch[:n])
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if stats := s.Stats(); stats.Foreign != 20 || stats.Received != 10 || stats.Completed != 10 {
		t.Errorf("%+v", stats)
	}
	if err := b.umem.Account().Err(); err != nil {
		t.Error(err)
	}
	if free := b.umem.FreeFrames(); free != 2*ringSize {
		t.Errorf("%d frames are free, want %d", free, 2*ringSize)
	}
}

func TestKicksFollowNeedWakeup(t *testing.T) {
	b := newBed(t, 1, zeroCopy)
	s := b.sockets[0]
	b.nic.SetBusy(true)
	before := b.nic.Kicks()
	send(t, b, s, 10)
	if b.nic.Kicks() != before || s.Stats().KicksSuppressed != 1 {
		t.Errorf("a driver at work was kicked: %+v", s.Stats())
	}
	b.nic.Step()
	if got := len(b.nic.Sent(0)); got != 10 {
		t.Errorf("sent %d", got)
	}
	b.nic.SetBusy(false)
	send(t, b, s, 10)
	if b.nic.Kicks() != before+1 || len(b.nic.Sent(0)) != 10 {
		t.Errorf("a sleeping driver was not kicked once: %+v", s.Stats())
	}
	b.nic.SetBusy(true)
	send(t, b, s, ringSize)
	if b.nic.Kicks() != before+2 {
		t.Error("a full ring was not kicked")
	}
}

// A driver that ran out of frames is told when there are some again.
func TestRefillWakesTheDriver(t *testing.T) {
	b := newBed(t, 1, zeroCopy)
	s := b.sockets[0]
	var batch [2 * ringSize]ring.Desc
	for i := range uint64(ringSize) {
		b.deliver(t, 0, numbered(i))
	}
	if err := b.nic.Deliver(0, numbered(0)); !errors.Is(err, ringtest.ErrNoFrame) {
		t.Fatalf("the fill ring has frames: %v", err)
	}
	if err := b.nic.Deliver(0, numbered(0)); !errors.Is(err, ringtest.ErrAsleep) {
		t.Fatalf("the driver is awake: %v", err)
	}
	for _, d := range batch[:s.Receive(batch[:])] {
		b.umem.Free(d)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if s.Stats().Wakeups != 1 {
		t.Errorf("%+v", s.Stats())
	}
	b.deliver(t, 0, numbered(1))
}

// A socket that is not read from cannot take the frames of the others.
func TestReceptionIsBounded(t *testing.T) {
	b := newBed(t, 2)
	for b.nic.Deliver(0, numbered(0)) == nil {
		if err := b.sockets[0].Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if free := b.umem.FreeFrames(); free != 3*ringSize {
		t.Errorf("%d frames are free, want %d", free, 3*ringSize)
	}
	send(t, b, b.sockets[1], ringSize)
}

func TestLinkDownIsToldOnceAndPasses(t *testing.T) {
	b := newBed(t, 1)
	s := b.sockets[0]
	b.nic.SetUp(false)
	d, _ := b.umem.Alloc(64)
	s.Transmit([]ring.Desc{d})
	err := s.Flush()
	if !errors.Is(err, ring.ErrDown) || !errors.Is(err, ring.ErrLinkDown) || !errors.Is(err, unix.ENETDOWN) {
		t.Fatalf("flush: %v", err)
	}
	if want := "fake1 queue 0: sendto: network is down (the interface is administratively down)"; err.Error() != want {
		t.Errorf("flush: %q, want %q", err, want)
	}
	if n := testing.AllocsPerRun(10, func() { s.Flush() }); n != 0 {
		t.Errorf("%v allocations to tell the same again", n)
	}
	b.nic.SetUp(true)
	if err := s.Flush(); err != nil || len(b.nic.Sent(0)) != 1 {
		t.Errorf("with the link up again: %v", err)
	}
}

func TestErrnos(t *testing.T) {
	for errno, down := range map[unix.Errno]bool{
		unix.EINTR: false, unix.EAGAIN: false, unix.EBUSY: false, unix.ENOBUFS: false, unix.ENOMEM: false,
		unix.ENETDOWN: true, unix.ENXIO: true, unix.EBADF: true, unix.ENODEV: true, unix.EINVAL: true, unix.EOPNOTSUPP: true,
	} {
		b := newBed(t, 1)
		s := b.sockets[0]
		d, _ := b.umem.Alloc(64)
		s.Transmit([]ring.Desc{d})
		b.kernel.FailNext("Kick", errno)
		err := s.Flush()
		if errors.Is(err, ring.ErrDown) != down || (err != nil) != down {
			t.Errorf("%v: flush: %v", errno, err)
		}
		b.kernel.FailNext("Kick", 0)
		err = s.Flush()
		dead := down && errno != unix.ENETDOWN
		if (err != nil) != dead || len(b.nic.Sent(0)) == 1 == dead {
			t.Errorf("%v: next flush: %v", errno, err)
		}
	}
}

// A TX ring that nobody serves makes the socket count as down, after a while.
func TestStall(t *testing.T) {
	b := newBed(t, 1)
	s := b.sockets[0]
	check := func(after time.Duration, down bool) {
		t.Helper()
		b.kernel.Advance(after)
		if err := s.Check(); errors.Is(err, ring.ErrDown) != down {
			t.Fatalf("check: %v", err)
		}
	}
	b.nic.SetStuck(true)
	send(t, b, s, 3)
	check(0, false)
	check(2*time.Second, false)
	b.nic.SetStuck(false)
	send(t, b, s, 3) // all go out, which is progress
	b.nic.SetStuck(true)
	send(t, b, s, 3)
	check(2*time.Second, false)
	check(2*time.Second, false)
	check(2*time.Second, true)
	if err := s.Flush(); !errors.Is(err, ring.ErrDown) {
		t.Errorf("flush: %v", err)
	}
}

// Zero-copy frames are not free at once when their socket is closed, for the
// interface may still write to them. They are when the queue is bound again, or
// after a while.
func TestLimbo(t *testing.T) {
	b := newBed(t, 1, zeroCopy)
	all := int(b.umem.Config().Frames)
	reopen := func(want int) {
		t.Helper()
		if err := b.sockets[0].Close(); err != nil {
			t.Fatal(err)
		}
		if free := b.umem.FreeFrames(); free != want {
			t.Errorf("%d frames are free after close, want %d", free, want)
		}
	}
	reopen(all - ringSize)
	b.sockets[0] = b.open(t, 0, ring.Auto)
	if free := b.umem.FreeFrames(); free != all-ringSize {
		t.Errorf("%d frames are free after open, want %d", free, all-ringSize)
	}
	reopen(all - ringSize)
	b.kernel.Advance(2 * time.Second)
	b.umem.ExpireLimbo()
	if free := b.umem.FreeFrames(); free != all {
		t.Errorf("%d frames are free after a while, want %d", free, all)
	}
	b.sockets[0] = b.open(t, 0, ring.Auto)
}

// A socket that is short of frames gets those whose time in limbo is over.
func TestLimboHelpsWhoIsShort(t *testing.T) {
	b := newBed(t, 2, zeroCopy)
	if err := b.sockets[0].Close(); err != nil {
		t.Fatal(err)
	}
	s := b.sockets[1]
	var held []ring.Desc
	defer func() {
		for _, d := range held {
			b.umem.Free(d)
		}
	}()
	for d, ok := b.umem.Alloc(64); ok; d, ok = b.umem.Alloc(64) {
		held = append(held, d)
	}
	for i := range uint64(ringSize) {
		b.deliver(t, 1, numbered(i))
	}
	batch := make([]ring.Desc, ringSize)
	held = append(held, batch[:s.Receive(batch)]...)
	for _, after := range []struct {
		d    time.Duration
		want error
	}{{0, ringtest.ErrNoFrame}, {2 * time.Second, nil}} {
		b.kernel.Advance(after.d)
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := b.nic.Deliver(1, numbered(0)); !errors.Is(err, after.want) {
			t.Errorf("after %v: %v, want %v", after.d, err, after.want)
		}
	}
}

// A short frame or one that leaves its frame is not sent, and is not lost.
func TestTransmitRefuses(t *testing.T) {
	b := newBed(t, 1)
	for _, length := range []uint32{0, 13, 2048, 1 << 31} {
		d, _ := b.umem.Alloc(64)
		d.Len = length
		if length > 64 && b.umem.Bytes(d) != nil {
			t.Errorf("bytes of %d in a frame of 2048", length)
		}
		if b.sockets[0].Transmit([]ring.Desc{d}) != 1 {
			t.Error("not taken")
		}
	}
	if err := b.sockets[0].Flush(); err != nil || len(b.nic.Sent(0)) != 0 {
		t.Errorf("sent: %v", err)
	}
	if b.umem.Refused() != 4 || b.umem.FreeFrames() != 2*ringSize {
		t.Errorf("%d refused, %d free", b.umem.Refused(), b.umem.FreeFrames())
	}
}

// A pending descriptor keeps Wait from sleeping long. A signal of Go's scheduler may
// end a sleep at once; not all of them.
func TestWaitIsShortWhileFramesArePending(t *testing.T) {
	b := newBed(t, 1)
	w, err := ring.NewWaiter(b.umem)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b.nic.SetStuck(true)
	send(t, b, b.sockets[0], 3)
	var longest time.Duration
	for range 10 {
		start := time.Now()
		if err := w.Wait(b.sockets, time.Minute); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(start))
	}
	if longest < 500*time.Microsecond || longest > 30*time.Second {
		t.Errorf("waited %v at most", longest)
	}
}

func TestWaitIgnoresDeadSockets(t *testing.T) {
	b := newBed(t, 1)
	w, err := ring.NewWaiter(b.umem)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b.nic.Delete()
	if err := b.sockets[0].Check(); !errors.Is(err, ring.ErrDown) || !errors.Is(err, unix.ENXIO) {
		t.Fatalf("check: %v", err)
	}
	if err := w.Wait(b.sockets, time.Millisecond); err != nil {
		t.Error(err)
	}
	w.Wake()
	if err := w.Wait(b.sockets, time.Minute); err != nil {
		t.Error(err)
	}
}

func TestWaiterCloses(t *testing.T) {
	b := newBed(t, 1)
	w, err := ring.NewWaiter(b.umem)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	w.Wake()
	if w.Close() == nil {
		t.Error("closed twice")
	}
}

// Stats may be read while the worker works, and while it closes.
func TestStatsFromAnotherGoroutine(t *testing.T) {
	b := newBed(t, 1)
	s := b.sockets[0]
	done := make(chan uint64)
	go func() {
		for {
			if got := s.Stats().Received; got == 500 {
				done <- got
				return
			}
		}
	}()
	var batch [8]ring.Desc
	for range 100 {
		for i := range uint64(5) {
			b.deliver(t, 0, numbered(i))
		}
		for _, d := range batch[:s.Receive(batch[:])] {
			b.umem.Free(d)
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	<-done
}
