package ring_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/xlvs/xlvs/ring"
	"github.com/xlvs/xlvs/ring/ringtest"
)

// bed is a fake kernel with one NIC and a socket on each of its queues.
type bed struct {
	kernel  *ringtest.Kernel
	nic     *ringtest.NIC
	umem    *ring.UMEM
	sockets []*ring.Socket
}

const ringSize = 64

// newBed makes a bed. Its cleanup fails the test if anything leaks.
func newBed(t testing.TB, queues int, edit ...func(*ringtest.Kernel, *ringtest.NIC)) *bed {
	t.Helper()
	b := &bed{kernel: ringtest.New()}
	b.nic = b.kernel.AddNIC(1, queues)
	for _, f := range edit {
		f(b.kernel, b.nic)
	}
	var err error
	b.umem, err = b.kernel.NewUMEM(ring.UMEMConfig{Frames: uint32(queues)*2*ringSize + ringSize, FrameSize: 2048})
	if err != nil {
		t.Fatal(err)
	}
	for q := range queues {
		b.sockets = append(b.sockets, b.open(t, uint32(q), ring.Auto))
	}
	t.Cleanup(func() {
		for _, s := range b.sockets {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		if err := b.umem.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if sockets, mappings := b.kernel.Leaks(); sockets != 0 || mappings != 0 {
			t.Errorf("leaked %d sockets and %d mappings", sockets, mappings)
		}
		for _, v := range b.kernel.Violations() {
			t.Error("violation:", v)
		}
	})
	return b
}

func config(queue uint32, mode ring.Mode) ring.SocketConfig {
	return ring.SocketConfig{Interface: 1, Queue: queue, Mode: mode, RX: ringSize, TX: ringSize, Fill: ringSize}
}

func (b *bed) open(t testing.TB, queue uint32, mode ring.Mode) *ring.Socket {
	t.Helper()
	s, err := ring.Open(b.umem, config(queue, mode))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *bed) deliver(t testing.TB, queue uint32, frame []byte) {
	t.Helper()
	if err := b.nic.Deliver(queue, frame); err != nil {
		t.Fatal(err)
	}
}

// numbered is a frame of 64 bytes with n in it.
func numbered(n uint64) []byte {
	frame := make([]byte, 64)
	binary.BigEndian.PutUint64(frame[16:], n)
	return frame
}

func number(frame []byte) uint64 { return binary.BigEndian.Uint64(frame[16:]) }

func TestForward(t *testing.T) {
	b := newBed(t, 1)
	s := b.sockets[0]
	for i := range uint64(10) {
		b.deliver(t, 0, numbered(i))
	}
	batch := make([]ring.Desc, 64)
	n := s.Receive(batch)
	if n != 10 {
		t.Fatalf("received %d frames, want 10", n)
	}
	for i, d := range batch[:n] {
		if got := b.umem.Bytes(d); !bytes.Equal(got, numbered(uint64(i))) {
			t.Fatalf("frame %d: % x", i, got)
		}
	}
	if took := s.Transmit(batch[:n]); took != n {
		t.Fatalf("transmitted %d frames, want %d", took, n)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	sent := b.nic.Sent(0)
	if len(sent) != n {
		t.Fatalf("sent %d frames, want %d", len(sent), n)
	}
	for i, frame := range sent {
		if !bytes.Equal(frame, numbered(uint64(i))) {
			t.Fatalf("sent frame %d: % x", i, frame)
		}
	}
	if free := b.umem.FreeFrames(); free != 2*ringSize {
		t.Fatalf("%d frames are free, want %d", free, 2*ringSize)
	}
}

func TestWaitReturnsForAFrameAndForWake(t *testing.T) {
	b := newBed(t, 1)
	w, err := ring.NewWaiter(b.umem)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for name, end := range map[string]func(){
		"frame": func() { b.nic.Deliver(0, numbered(1)) },
		"wake":  w.Wake,
	} {
		time.AfterFunc(20*time.Millisecond, end)
		start := time.Now()
		if err := w.Wait(b.sockets, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: waited %v", name, took)
		}
		b.sockets[0].Receive(make([]ring.Desc, 1))
	}
}
