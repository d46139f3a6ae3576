package ring_test

import (
	"testing"

	"github.com/xlvs/xlvs/ring"
	"github.com/xlvs/xlvs/ring/ringtest"
)

// FuzzDesc gives arbitrary descriptors to everything that takes one. None may
// reach memory outside of a frame that the caller owns, nor change the account.
func FuzzDesc(f *testing.F) {
	f.Add(uint64(0), uint32(64), uint32(0))          // start of the UMEM
	f.Add(uint64(2048+256), uint32(1792), uint32(9)) // up to the frame's end
	f.Add(uint64(2048+256), uint32(1793), uint32(0)) // one over it
	f.Add(uint64(63*2048), uint32(2048), uint32(1))  // the last frame
	f.Add(uint64(64*2048), uint32(1), uint32(0))     // one after it
	f.Add(^uint64(0), ^uint32(0), ^uint32(0))        // wraps
	f.Add(^uint64(0)-2047, uint32(4096), uint32(2048))
	f.Fuzz(func(t *testing.T, addr uint64, length, grow uint32) {
		const frames = 64
		k := ringtest.New()
		nic := k.AddNIC(1, 1)
		u, err := k.NewUMEM(ring.UMEMConfig{Frames: frames, FrameSize: 2048})
		if err != nil {
			t.Fatal(err)
		}
		s, err := ring.Open(u, ring.SocketConfig{Interface: 1, RX: 16, TX: 16, Fill: 16, TXBudget: 32})
		if err != nil {
			t.Fatal(err)
		}
		owned := make(map[uint64]bool)
		for range 24 {
			d, ok := u.Alloc(100)
			if !ok {
				t.Fatal("no frame")
			}
			owned[d.Addr/2048] = true
		}
		d := ring.Desc{Addr: addr, Len: length}
		for range 2 {
			b := u.Bytes(d)
			inside := owned[d.Addr/2048] && d.Addr%2048+uint64(d.Len) <= 2048
			if inside != (b != nil) || inside && (len(b) != int(d.Len) || cap(b) != len(b)) {
				t.Fatalf("%+v: inside %v, %d bytes", d, inside, len(b))
			}
			for i := range b {
				b[i]++
			}
			whole, start := u.Whole(d)
			if inside != (whole != nil) || inside && (len(whole) != 2048 || cap(whole) != 2048 || u.Part(d, start, start+d.Len) != d) {
				t.Fatalf("%+v: inside %v, %d bytes, begins at %d", d, inside, len(whole), start)
			}
			if len(b) > 0 && &whole[start] != &b[0] {
				t.Fatalf("%+v: the whole frame is another", d)
			}
			if grown, ok := u.Prepend(d, grow); ok && grown.Addr/2048 != d.Addr/2048 {
				t.Fatalf("%+v grew by %d into %+v", d, grow, grown)
			}
			if trimmed, ok := u.Trim(d, grow); ok && trimmed.Len+grow != d.Len {
				t.Fatalf("%+v trimmed by %d is %+v", d, grow, trimmed)
			}
			d, _ = u.Prepend(d, grow)
		}
		sendable := owned[d.Addr/2048] && d.Len >= 14 && d.Addr%2048+uint64(d.Len) <= 2048
		s.Transmit([]ring.Desc{d, d})
		u.Free(d)
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		if sent := len(nic.Sent(0)); sendable != (sent == 1) {
			t.Fatalf("%+v: sendable %v, sent %d times", d, sendable, sent)
		}
		if err := u.Account().Err(); err != nil {
			t.Fatal(err)
		}
		if v := k.Violations(); len(v) > 0 {
			t.Fatal(v)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := u.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
