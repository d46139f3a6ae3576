package packet_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/xlvs/xlvs/packet"
)

// checksum is RFC 1071's definition, word by word, folding each carry at once.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := range b {
		sum += uint32(b[i]) << (8 * (1 - i%2))
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func TestChecksumOfEveryLength(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 9001)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	for n := range len(b) + 1 {
		if got, want := packet.Sum(0).Add(b[:n]).Checksum(), checksum(b[:n]); got != want {
			t.Fatalf("%d bytes: %#04x, want %#04x", n, got, want)
		}
	}
}

// TestChecksumOfManyCarries has the sum that overflows most.
func TestChecksumOfManyCarries(t *testing.T) {
	b := make([]byte, 1<<16)
	for i := range b {
		b[i] = 0xff
	}
	if got, want := packet.Sum(0).Add(b).Checksum(), checksum(b); got != want {
		t.Errorf("%#04x, want %#04x", got, want)
	}
}

// TestChecksumExample is RFC 1071's example (3), whose sum is 0xddf2.
func TestChecksumExample(t *testing.T) {
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	if got := packet.Sum(0).Add(b).Checksum(); got != ^uint16(0xddf2) {
		t.Errorf("%#04x, want %#04x", got, ^uint16(0xddf2))
	}
}

func TestPseudoHeader(t *testing.T) {
	pseudo4 := []byte{192, 0, 2, 1, 203, 0, 113, 10, 0, 17, 1, 2}
	sum := packet.PseudoHeader(addr(client4), addr(vip4), packet.UDP, 0x102)
	if got, want := sum.Checksum(), checksum(pseudo4); got != want {
		t.Errorf("IPv4: %#04x, want %#04x", got, want)
	}
	src, dst := addr(client6), addr(vip6)
	var pseudo6 []byte
	for _, w := range []uint64{src.Hi, src.Lo, dst.Hi, dst.Lo} {
		pseudo6 = binary.BigEndian.AppendUint64(pseudo6, w)
	}
	pseudo6 = append(pseudo6, 0, 1, 2, 3, 0, 0, 0, 6)
	sum = packet.PseudoHeader(src, dst, packet.TCP, 0x10203)
	if got, want := sum.Checksum(), checksum(pseudo6); got != want {
		t.Errorf("IPv6: %#04x, want %#04x", got, want)
	}
}

// TestUpdateExample is RFC 1624's (4), where equation 2 of RFC 1141 goes wrong.
func TestUpdateExample(t *testing.T) {
	if got := packet.UpdateChecksum(0xdd2f, 0x5555, 0x3285); got != 0x0000 {
		t.Errorf("%#04x, want 0x0000", got)
	}
}

// TestUpdateIsAddingUpAnew changes words of a header and compares with the sum of
// all of it.
func TestUpdateIsAddingUpAnew(t *testing.T) {
	words := rapid.OneOf(rapid.Uint16(), rapid.SampledFrom([]uint16{0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff}))
	rapid.Check(t, func(t *rapid.T) {
		header := []byte{0, 6, 0x20, 1} // never all zero, as no header is; an IPv6 address begins at the third
		for _, w := range rapid.SliceOfN(words, 8, 40).Draw(t, "header") {
			header = binary.BigEndian.AppendUint16(header, w)
		}
		before := checksum(header)
		sum := before
		switch width := rapid.SampledFrom([]int{2, 4, 16}).Draw(t, "width"); width {
		case 2:
			old, new := binary.BigEndian.Uint16(header[2:]), words.Draw(t, "new")
			binary.BigEndian.PutUint16(header[2:], new)
			sum = packet.UpdateChecksum(sum, old, new)
		case 4:
			old, new := binary.BigEndian.Uint32(header[2:]), rapid.Uint32().Draw(t, "new")
			binary.BigEndian.PutUint32(header[2:], new)
			sum = packet.UpdateChecksum32(sum, old, new)
			if got := packet.UpdateChecksumAddr(before, packet.AddrFrom4(old), packet.AddrFrom4(new)); got != sum {
				t.Fatalf("by address %#04x, by words %#04x", got, sum)
			}
		case 16:
			old := packet.Addr{Hi: binary.BigEndian.Uint64(header[2:]), Lo: binary.BigEndian.Uint64(header[10:])}
			new := packet.Addr{Hi: rapid.Uint64().Draw(t, "hi") | 1, Lo: rapid.Uint64().Draw(t, "lo")}
			binary.BigEndian.PutUint64(header[2:], new.Hi)
			binary.BigEndian.PutUint64(header[10:], new.Lo)
			sum = packet.UpdateChecksumAddr(sum, old, new)
		}
		if want := checksum(header); sum != want {
			t.Fatalf("%#04x, want %#04x", sum, want)
		}
	})
}
