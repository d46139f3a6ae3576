package packet_test

import (
	"encoding/binary"
	"testing"

	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

// TestTTLAndChecksumForEveryWord decrements with every checksum and TTL that there are,
// and compares with RFC 1624's equation.
func TestTTLAndChecksumForEveryWord(t *testing.T) {
	h := packet.IPv4(make([]byte, 20))
	for word := range 1 << 24 {
		ttl, sum := uint8(word>>16), uint16(word)
		if ttl == 0 {
			continue
		}
		h[8], h[9] = ttl, 6
		binary.BigEndian.PutUint16(h[10:], sum)
		h.DecrementTTL()
		want := packet.UpdateChecksum(sum, uint16(ttl)<<8|6, uint16(ttl-1)<<8|6)
		if h.TTL() != ttl-1 || h[9] != 6 || h.Checksum() != want {
			t.Fatalf("TTL %d, checksum %#04x: became %d, %d and %#04x, want %#04x", ttl, sum, h.TTL(), h[9], h.Checksum(), want)
		}
	}
}

func TestDecrementKeepsTheHeaderRight(t *testing.T) {
	frame := IPv4(client4, vip4).Options(8).TTL(2).UDP(1, 2).Frame(t)
	packet.IPv4(frame[14:]).DecrementTTL()
	Check(t, frame, HasTTL(1), ChecksumsOK())
	frame = IPv6(client6, vip6).TTL(2).UDP(1, 2).Frame(t)
	packet.IPv6(frame[14:]).DecrementHopLimit()
	Check(t, frame, HasTTL(1), ChecksumsOK())
}

// TestSCTPChecksumExample is the check value of CRC-32C (RFC 3720, B.4): 32 bytes of
// zeros have 0x8a9136aa.
func TestSCTPChecksumExample(t *testing.T) {
	b := make([]byte, 32)
	copy(b[8:], "lies") // the field counts as zero
	if got := packet.SCTPChecksum(b); got != 0x8a9136aa {
		t.Errorf("%#08x, want 0x8a9136aa", got)
	}
}

// partial leaves the checksum to hardware, as Linux does.
func partial(tb testing.TB, p Packet) []byte {
	frame := p.Frame(tb)
	var parsed packet.Parsed
	packet.Parse(frame, &parsed)
	l4 := frame[parsed.L4 : parsed.L3+parsed.Len]
	at := map[packet.Protocol]int{packet.TCP: 16, packet.UDP: 6}[parsed.Tuple.Protocol]
	if at == 0 {
		clear(l4[8:12])
		return frame
	}
	pseudo := packet.PseudoHeader(parsed.Tuple.Src, parsed.Tuple.Dst, parsed.Tuple.Protocol, len(l4))
	binary.BigEndian.PutUint16(l4[at:], ^pseudo.Checksum())
	return frame
}

func TestPartialChecksumsAreCompleted(t *testing.T) {
	for _, p := range []Packet{IPv4(client4, vip4), IPv4(client4, vip4).Options(8).VLAN(3), IPv6(client6, vip6),
		IPv6(client6, vip6).Through(HopByHop(8))} {
		for _, p := range []Packet{p.TCP(1, 80).ACK(), p.UDP(1, 53), p.SCTP(1, 9)} {
			for _, n := range []int{0, 1, 4, 777} {
				p := p.Payload(n)
				frame := partial(t, p)
				var parsed packet.Parsed
				packet.Parse(frame, &parsed)
				if !packet.Complete(frame, &parsed) {
					t.Errorf("%d bytes of %v: not taken for partial", n, parsed.Tuple.Protocol)
				}
				Check(t, frame, ChecksumsOK(), Unchanged(p.Frame(t)))
				if whole := p.Frame(t); packet.Complete(whole, &parsed) {
					t.Errorf("%d bytes of %v: a whole checksum was taken for partial", n, parsed.Tuple.Protocol)
				}
			}
		}
	}
}

// TestPartialChecksumOfEveryKind has payloads for every checksum that there is. One
// that comes out as 0 is written as 0xffff for UDP, and one that looks partial although it
// is right stays as it is.
func TestPartialChecksumOfEveryKind(t *testing.T) {
	for protocol, at := range map[packet.Protocol]int{packet.TCP: 16, packet.UDP: 6} {
		p := IPv4(client4, vip4).UDP(1, 53)
		if protocol == packet.TCP {
			p = IPv4(client4, vip4).TCP(1, 80).ACK()
		}
		frame := partial(t, p.Payload(2))
		var parsed packet.Parsed
		packet.Parse(frame, &parsed)
		b := frame[parsed.L4:]
		pseudo := packet.PseudoHeader(parsed.Tuple.Src, parsed.Tuple.Dst, protocol, len(b))
		zero, alike := 0, 0
		for word := range 1 << 16 {
			binary.BigEndian.PutUint16(b[len(b)-2:], uint16(word))
			binary.BigEndian.PutUint16(b[at:], ^pseudo.Checksum())
			if !packet.Complete(frame, &parsed) {
				t.Fatalf("%v, payload %#04x: not taken for partial", protocol, word)
			}
			got := binary.BigEndian.Uint16(b[at:])
			if pseudo.Add(b).Checksum() != 0 || got == 0 && protocol == packet.UDP {
				t.Fatalf("%v, payload %#04x: checksum %#04x", protocol, word, got)
			}
			if got == 0 || got == 0xffff {
				zero++
			}
			if got == ^pseudo.Checksum() {
				alike++
			}
			if packet.Complete(frame, &parsed); binary.BigEndian.Uint16(b[at:]) != got {
				t.Fatalf("%v, payload %#04x: completed twice", protocol, word)
			}
		}
		if zero == 0 || alike == 0 {
			t.Errorf("%v: %d checksums of zero and %d that look partial, want some", protocol, zero, alike)
		}
	}
}

func TestNoChecksumIsNotPartial(t *testing.T) {
	frame := IPv4(client4, vip4).UDP(1, 53).Frame(t)
	clear(frame[40:42])
	var p packet.Parsed
	packet.Parse(frame, &p)
	if packet.Complete(frame, &p) {
		t.Error("no checksum was taken for a partial one")
	}
}

func TestOnlyWholePacketsAreCompleted(t *testing.T) {
	for _, p := range []Packet{
		IPv4(client4, vip4).UDP(1, 53).Payload(64).Fragment(0, 32, true), IPv4(client4, vip4).Ping(),
		IPv4(client4, vip4).UDP(1, 53).Payload(64).Fragment(32, 64, false),
	} {
		frame := p.Frame(t)
		var parsed packet.Parsed
		packet.Parse(frame, &parsed)
		if packet.Complete(frame, &parsed) {
			t.Errorf("completed a %v", parsed.Kind)
		}
		Check(t, frame, Unchanged(p.Frame(t)))
	}
}
