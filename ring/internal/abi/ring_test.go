package abi

import (
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

var testOffsets = unix.XDPRingOffset{Producer: 0, Consumer: 64, Flags: 128, Desc: 192}

// ends makes a ring of n entries with both indices at first, and its two ends.
func ends(t rapid.TB, n, first uint32) (Producer[uint64], Consumer[uint64], []byte) {
	mem := make([]byte, RingBytes[uint64](testOffsets, n))
	setIndices(mem, first, first)
	p, err := NewProducer[uint64](mem, testOffsets, n)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewConsumer[uint64](mem, testOffsets, n)
	if err != nil {
		t.Fatal(err)
	}
	return p, c, mem
}

func setIndices(mem []byte, producer, consumer uint32) {
	binary.NativeEndian.PutUint32(mem[testOffsets.Producer:], producer)
	binary.NativeEndian.PutUint32(mem[testOffsets.Consumer:], consumer)
}

// A ring is a queue, also where its indices wrap.
func TestRingIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := uint32(1) << rapid.IntRange(0, 4).Draw(t, "log2 of the size")
		first := rapid.SampledFrom([]uint32{0, 1<<31 - 2, 1<<32 - 1, 1<<32 - 7}).Draw(t, "first index")
		p, c, _ := ends(t, size, first)
		var queue []uint64
		next := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"produce": func(t *rapid.T) {
				want := rapid.Uint32Range(0, 20).Draw(t, "want")
				n := p.Reserve(want)
				if room := size - uint32(len(queue)); n != min(want, room) {
					t.Fatalf("reserved %d of %d, there is room for %d", n, want, room)
				}
				n = rapid.Uint32Range(0, n).Draw(t, "publish")
				for i := range n {
					p.Set(i, next)
					queue = append(queue, next)
					next++
				}
				p.Publish(n)
			},
			"consume": func(t *rapid.T) {
				want := rapid.Uint32Range(0, 20).Draw(t, "want")
				n := c.Ready(want)
				if n != min(want, uint32(len(queue))) {
					t.Fatalf("%d of %d are ready, there are %d", n, want, len(queue))
				}
				n = rapid.Uint32Range(0, n).Draw(t, "release")
				for i := range n {
					if got := c.At(i); got != queue[i] {
						t.Fatalf("took %d, want %d", got, queue[i])
					}
				}
				c.Release(n)
				queue = queue[n:]
			},
			"": func(t *rapid.T) {
				if got := p.Outstanding(); got != uint32(len(queue)) {
					t.Fatalf("%d outstanding, want %d", got, len(queue))
				}
			},
		})
	})
}

// Two goroutines, for the race detector: what is published is seen whole.
func TestRingBetweenGoroutines(t *testing.T) {
	p, c, _ := ends(t, 16, 1<<32-100)
	const total = 20000
	go func() {
		for sent := uint64(0); sent < total; {
			n := p.Reserve(uint32(min(5, total-sent)))
			for i := range n {
				p.Set(i, sent*3)
				sent++
			}
			p.Publish(n)
		}
	}()
	for want := uint64(0); want < total; {
		n := c.Ready(7)
		for i := range n {
			if got := c.At(i); got != want*3 {
				t.Fatalf("took %d, want %d", got, want*3)
			}
			want++
		}
		c.Release(n)
	}
}

// A peer whose index makes no sense gets nothing, and gives nothing.
func TestRingDistrustsItsPeer(t *testing.T) {
	for _, peer := range []uint32{1, 9, 1 << 31, 1<<32 - 9} {
		p, _, mem := ends(t, 8, 0)
		setIndices(mem, 0, peer) // the consumer is ahead of the producer
		if n := p.Reserve(9); n != 0 {
			t.Errorf("consumer at %d: reserved %d", peer, n)
		}
	}
	for _, peer := range []uint32{9, 1 << 31, 1<<32 - 1} {
		_, c, mem := ends(t, 8, 0)
		setIndices(mem, peer, 0)
		if n := c.Ready(9); n != 0 {
			t.Errorf("producer at %d: %d are ready", peer, n)
		}
		setIndices(mem, 3, 0)
		if n := c.Ready(9); n != 3 {
			t.Errorf("producer at 3 after %d: %d are ready", peer, n)
		}
	}
}

func TestNeedWakeup(t *testing.T) {
	p, c, _ := ends(t, 8, 0)
	for _, on := range []bool{true, false} {
		c.SetNeedWakeup(on)
		if p.NeedWakeup() != on {
			t.Errorf("need wake-up is not %v", on)
		}
	}
}

func TestLayoutChecks(t *testing.T) {
	const n = 8
	good := make([]byte, RingBytes[Desc](testOffsets, n))
	for name, f := range map[string]func() error{
		"not a power of two": func() error { _, err := NewConsumer[Desc](good, testOffsets, 6); return err },
		"empty":              func() error { _, err := NewConsumer[Desc](good, testOffsets, 0); return err },
		"too short":          func() error { _, err := NewProducer[Desc](good[:len(good)-1], testOffsets, n); return err },
		"index outside": func() error {
			off := testOffsets
			off.Consumer = uint64(len(good)) - 3
			_, err := NewProducer[Desc](good, off, n)
			return err
		},
		"index unaligned": func() error {
			off := testOffsets
			off.Producer = 2
			_, err := NewProducer[Desc](good, off, n)
			return err
		},
		"entries unaligned": func() error {
			off := testOffsets
			off.Desc = 180
			_, err := NewProducer[Desc](good, off, n)
			return err
		},
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewConsumer[Desc](good, testOffsets, n); err != nil {
		t.Error(err)
	}
}

func TestRingKinds(t *testing.T) {
	if got := fmt.Sprint(Fill, Completion, RX, TX); got != "fill completion RX TX" {
		t.Error(got)
	}
}
