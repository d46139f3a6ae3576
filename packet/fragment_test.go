package packet_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

// cut makes fragments of a frame's IPv4 packet, the first one first. Each has the link
// header.
func cut(tb testing.TB, frame []byte, mtu int) (frames [][]byte) {
	tb.Helper()
	var p packet.Parsed
	packet.Parse(frame, &p)
	c, ok := packet.NewCut(frame[p.L3:p.L3+p.Len], mtu)
	if !ok {
		return nil
	}
	for {
		b := make([]byte, int(p.L3)+mtu)
		n := c.Next(b[copy(b, frame[:p.L3]):])
		if n == 0 {
			break
		}
		frames = append(frames, b[:int(p.L3)+n])
	}
	return slices.Insert(frames, 0, frame[:int(p.L3)+c.First()])
}

// assemble puts fragments together as a host does: by their offsets (RFC 791, 3.2).
func assemble(tb testing.TB, frames [][]byte) (payload []byte, offset int, more bool) {
	tb.Helper()
	next := -1
	for i, f := range frames {
		at := len(f) - len(packetOf(f))
		h := packet.IPv4(f[at:])
		if packet.Sum(0).Add(h[:h.HeaderLen()]).Checksum() != 0 {
			tb.Errorf("fragment %d: header checksum %#04x", i, h.Checksum())
		}
		if h.TotalLength() != len(h) {
			tb.Errorf("fragment %d of %d bytes says %d", i, len(h), h.TotalLength())
		}
		if next < 0 {
			next, offset = h.FragmentOffset(), h.FragmentOffset()
		}
		if h.FragmentOffset() != next || i < len(frames)-1 && !h.MoreFragments() {
			tb.Errorf("fragment %d begins at %d, want %d", i, h.FragmentOffset(), next)
		}
		payload = append(payload, h[h.HeaderLen():]...)
		next, more = next+len(h)-h.HeaderLen(), h.MoreFragments()
	}
	return payload, offset, more
}

// packetOf is what follows the link header.
func packetOf(frame []byte) []byte {
	at := packet.EthernetLen
	for kind := packet.Ethernet(frame).Type(); kind.IsTag(); at += packet.VLANTagLen {
		kind = packet.EtherType(binary.BigEndian.Uint16(frame[at+2:]))
	}
	return frame[at:]
}

func TestFragmentsMakeThePacketAgain(t *testing.T) {
	for _, p := range []Packet{
		IPv4(client4, vip4).ID(77).UDP(1, 53).Payload(3000), IPv4(client4, vip4).VLAN(7).ID(77).TCP(1, 80).ACK().Payload(1460),
		IPv4(client4, vip4).ID(77).Options(40).UDP(1, 53).Payload(1400),
		IPv4(client4, vip4).ID(77).UDP(1, 53).Payload(3000).Fragment(800, 2400, true),
		IPv4(client4, vip4).ID(77).UDP(1, 53).Payload(3000).Fragment(1600, 3008, false),
	} {
		for _, mtu := range []int{68, 100, 576, 1399, 1400, 1407, 1408, 4000} {
			frame := p.Frame(t)
			whole := slices.Clone(packetOf(frame))
			h := packet.IPv4(whole)
			frames := cut(t, frame, mtu)
			payload, offset, more := assemble(t, frames)
			if !bytes.Equal(payload, whole[h.HeaderLen():]) || offset != h.FragmentOffset() || more != h.MoreFragments() {
				t.Errorf("MTU %d: %d bytes at %d, more %v, of %d at %d, %v",
					mtu, len(payload), offset, more, len(whole)-h.HeaderLen(), h.FragmentOffset(), h.MoreFragments())
			}
			for i, f := range frames {
				if n := len(packetOf(f)); n > mtu || n+8 <= mtu && i > 0 && i < len(frames)-1 && h.HeaderLen() == 20 {
					t.Errorf("MTU %d: fragment %d of %d bytes", mtu, i, n)
				}
				Check(t, f, HasTTL(64))
				if packet.IPv4(packetOf(f)).ID() != 77 {
					t.Errorf("fragment %d has identification %d", i, packet.IPv4(packetOf(f)).ID())
				}
			}
		}
	}
}

// Of the options, later fragments have those with the copied bit (RFC 791, 3.1).
func TestOptionsOfFragments(t *testing.T) {
	record, source, noOp, end := []byte{7, 7, 4, 0, 0, 0, 0}, []byte{0x83, 7, 4, 9, 9, 9, 9}, []byte{1}, []byte{0}
	for name, c := range map[string]struct{ options, want []byte }{
		"only copied":     {slices.Concat(source, noOp), slices.Concat(source, end)},
		"both":            {slices.Concat(record, source, noOp, noOp), slices.Concat(source, end)},
		"not copied":      {slices.Concat(record, noOp), nil},
		"behind the end":  {slices.Concat(end, source), nil},
		"a length of 0":   {[]byte{0x83, 0, 4, 9}, nil},
		"a length beyond": {[]byte{0x83, 9, 4, 9}, nil},
		"no length":       {[]byte{1, 1, 1, 0x83}, nil},
	} {
		frame := IPv4(client4, vip4).Options(len(c.options)).UDP(1, 53).Payload(200).Frame(t)
		copy(frame[34:], c.options)
		frames := cut(t, frame, 100)
		for _, f := range frames[1:] {
			h := packet.IPv4(f[14:])
			if got := h[20:h.HeaderLen()]; !bytes.Equal(got, c.want) {
				t.Errorf("%s: options % x, want % x", name, got, c.want)
			}
		}
		if got := frames[0][34 : 34+len(c.options)]; !bytes.Equal(got, c.options) {
			t.Errorf("%s: the first fragment has options % x", name, got)
		}
	}
}

func TestWhatCannotBeCut(t *testing.T) {
	for _, mtu := range []int{0, 20, 27} {
		if frames := cut(t, IPv4(client4, vip4).UDP(1, 53).Payload(200).Frame(t), mtu); frames != nil {
			t.Errorf("MTU %d: %d fragments", mtu, len(frames))
		}
	}
}

// FuzzCut cuts anything that is an IPv4 packet. The fragments have its payload, once.
func FuzzCut(f *testing.F) {
	addFrame(f, "a datagram", IPv4(client4, vip4).UDP(1, 53).Payload(200))
	addFrame(f, "options", IPv4(client4, vip4).Options(40).UDP(1, 53).Payload(200))
	addFrame(f, "a fragment", IPv4(client4, vip4).UDP(1, 53).Payload(600).Fragment(200, 400, true))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var p packet.Parsed
		if packet.Parse(frame, &p) != packet.OK || p.L3 == 0 || frame[p.L3]>>4 != 4 {
			return
		}
		whole := slices.Clone(frame[p.L3 : p.L3+p.Len])
		mtu := 68 + int(p.Len)%32
		frames := cut(t, frame, mtu)
		payload, _, _ := assemble(t, frames)
		if h := packet.IPv4(whole); !bytes.Equal(payload, whole[h.HeaderLen():]) {
			t.Errorf("% x became % x", whole, payload)
		}
		for _, f := range frames {
			if n := len(packetOf(f)); n > mtu {
				t.Errorf("MTU %d: a fragment of %d bytes", mtu, n)
			}
		}
	})
}
