package packettest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/gopacket"

	"github.com/xlvs/xlvs/packet"
)

// Checkers of what a director makes of a frame by itself.

// ipPacket is the packet of a frame, padding left out, where its payload begins, and
// what that is. Extension headers count as payload.
func ipPacket(frame []byte) (ip []byte, header int, protocol packet.Protocol, err error) {
	_, at, kind := tags(frame)
	ip = frame[at:]
	switch {
	case kind == packet.EtherTypeIPv4 && len(ip) >= packet.IPv4Len:
		h := packet.IPv4(ip)
		if total := h.TotalLength(); total <= len(ip) && h.HeaderLen() <= total {
			return ip[:total], h.HeaderLen(), h.Protocol(), nil
		}
	case kind == packet.EtherTypeIPv6 && len(ip) >= packet.IPv6Len:
		h := packet.IPv6(ip)
		if total := packet.IPv6Len + h.PayloadLength(); total <= len(ip) {
			return ip[:total], packet.IPv6Len, h.NextHeader(), nil
		}
	}
	return nil, 0, 0, errors.New("no whole IP packet")
}

// payload is what a packet's IP header says that it carries, if it is of a protocol and
// has so many bytes at least.
func payload(frame []byte, least int, protocols ...packet.Protocol) ([]byte, error) {
	ip, header, protocol, err := ipPacket(frame)
	if err != nil {
		return nil, err
	}
	for _, p := range protocols {
		if p == protocol && len(ip)-header >= least {
			return ip[header:], nil
		}
	}
	return nil, fmt.Errorf("protocol %v with %d bytes, want %v with %d at least",
		protocol, len(ip)-header, protocols, least)
}

// OneHopFurther wants the frame as it was when this was called, but for its MAC
// addresses, and for a TTL or hop limit that is one less, with the checksum that it takes:
// what direct routing does.
func OneHopFurther(original []byte) Checker {
	original = bytes.Clone(original)
	return func(frame []byte, decoded gopacket.Packet) error {
		want := bytes.Clone(original)
		_, at, kind := tags(want)
		switch ip := want[at:]; kind {
		case packet.EtherTypeIPv4:
			ip[8]--
			packet.IPv4(ip).SetChecksum()
		case packet.EtherTypeIPv6:
			ip[7]--
		}
		return UnchangedExceptMACs(want)(frame, decoded)
	}
}

// HasLength wants an IP packet of n bytes, its header included.
func HasLength(n int) Checker {
	return func(frame []byte, _ gopacket.Packet) error {
		ip, _, _, err := ipPacket(frame)
		if err == nil && len(ip) != n {
			err = fmt.Errorf("packet of %d bytes, want %d", len(ip), n)
		}
		return err
	}
}

// HasTTL wants the TTL or hop limit.
func HasTTL(want uint8) Checker {
	return func(frame []byte, _ gopacket.Packet) error {
		ip, header, _, err := ipPacket(frame)
		if err != nil {
			return err
		}
		got := ip[8] // of IPv4
		if header == packet.IPv6Len && ip[0]>>4 == 6 {
			got = ip[7]
		}
		if got != want {
			return fmt.Errorf("TTL %d, want %d", got, want)
		}
		return nil
	}
}

// HasSegment wants a TCP segment without options and payload, with these numbers and
// flags.
func HasSegment(sequence, acknowledgement uint32, flags uint8) Checker {
	return func(frame []byte, _ gopacket.Packet) error {
		b, err := payload(frame, packet.TCPLen, packet.TCP)
		if err != nil {
			return err
		}
		h := packet.TCPHeader(b)
		if h.Sequence() != sequence || h.Acknowledgement() != acknowledgement || h.Flags() != flags {
			err = fmt.Errorf("sequence %d, acknowledgement %d, flags %#02x, want %d, %d, %#02x",
				h.Sequence(), h.Acknowledgement(), h.Flags(), sequence, acknowledgement, flags)
		}
		if h.DataOffset() != packet.TCPLen || len(b) != packet.TCPLen {
			err = errors.Join(err, fmt.Errorf("%d bytes of segment, %d of header, want 20",
				len(b), h.DataOffset()))
		}
		return err
	}
}

// HasChunk wants an SCTP packet with a verification tag and one empty chunk.
func HasChunk(kind, flags uint8, tag uint32) Checker {
	return func(frame []byte, _ gopacket.Packet) error {
		b, err := payload(frame, packet.SCTPLen, packet.SCTP)
		if err != nil {
			return err
		}
		want := []byte{kind, flags, 0, 4}
		if got := packet.SCTPHeader(b).Tag(); got != tag || !bytes.Equal(b[packet.SCTPCommonLen:], want) {
			return fmt.Errorf("verification tag %d and chunk % x, want %d and % x",
				got, b[packet.SCTPCommonLen:], tag, want)
		}
		return nil
	}
}

// HasError wants an ICMP or ICMPv6 error, and what is in its last four bytes.
func HasError(kind, code uint8, rest uint32) Checker {
	return func(frame []byte, _ gopacket.Packet) error {
		b, err := payload(frame, packet.ICMPLen, packet.ICMP, packet.ICMPv6)
		if err != nil {
			return err
		}
		h := packet.ICMPHeader(b)
		if got := binary.BigEndian.Uint32(b[4:]); h.Type() != kind || h.Code() != code || got != rest {
			return fmt.Errorf("ICMP type %d, code %d, rest %d, want %d, %d, %d",
				h.Type(), h.Code(), got, kind, code, rest)
		}
		return nil
	}
}

// Quotes wants an ICMP error that quotes the first n bytes of the packet in a frame, as
// it was when this was called, or all of it if it has fewer.
func Quotes(frame []byte, n int) Checker {
	quoted, _, _, wrong := ipPacket(bytes.Clone(frame))
	return func(frame []byte, _ gopacket.Packet) error {
		b, err := payload(frame, packet.ICMPLen, packet.ICMP, packet.ICMPv6)
		if err = errors.Join(wrong, err); err != nil {
			return err
		}
		if got, want := b[packet.ICMPLen:], quoted[:min(n, len(quoted))]; !bytes.Equal(got, want) {
			return fmt.Errorf("quotes %d bytes, want %d:\n% x\n% x", len(got), len(want), got, want)
		}
		return nil
	}
}
