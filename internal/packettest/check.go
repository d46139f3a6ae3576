package packettest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/xlvs/xlvs/packet"
)

// Checker says what is wrong with a frame, or nil. The decoded packet begins
// with the IP header, and is nil if the frame has none.
type Checker func(frame []byte, decoded gopacket.Packet) error

// Check reports all that the checkers find wrong with a frame, and shows it.
func Check(tb testing.TB, frame []byte, checkers ...Checker) {
	tb.Helper()
	decoded := decode(frame)
	var errs []error
	for _, c := range checkers {
		errs = append(errs, c(frame, decoded))
	}
	if err := errors.Join(errs...); err != nil {
		tb.Errorf("%v\n%v\n%s", err, decoded, hex.Dump(frame))
	}
}

// decode has gopacket decode what the Ethernet header and its tags carry.
func decode(frame []byte) gopacket.Packet {
	_, at, kind := tags(frame)
	switch kind {
	case packet.EtherTypeIPv4:
		return gopacket.NewPacket(frame[at:], layers.LayerTypeIPv4, gopacket.NoCopy)
	case packet.EtherTypeIPv6:
		return gopacket.NewPacket(frame[at:], layers.LayerTypeIPv6, gopacket.NoCopy)
	}
	return nil
}

// tags are the VLAN identifiers of a frame, where they end, and what follows.
func tags(frame []byte) (ids []uint16, at int, kind packet.EtherType) {
	if len(frame) < packet.EthernetLen {
		return nil, len(frame), 0
	}
	at, kind = packet.EthernetLen, packet.Ethernet(frame).Type()
	for kind.IsTag() && len(frame) >= at+packet.VLANTagLen {
		ids = append(ids, binary.BigEndian.Uint16(frame[at:])&0xfff)
		kind = packet.EtherType(binary.BigEndian.Uint16(frame[at+2:]))
		at += packet.VLANTagLen
	}
	return ids, at, kind
}

// HasDstMAC wants the destination MAC address.
func HasDstMAC(want MAC) Checker { return hasMAC("destination", 0, want) }

// HasSrcMAC wants the source MAC address.
func HasSrcMAC(want MAC) Checker { return hasMAC("source", packet.MACLen, want) }

func hasMAC(which string, at int, want MAC) Checker {
	return func(frame []byte, _ gopacket.Packet) error {
		if len(frame) < packet.EthernetLen {
			return fmt.Errorf("no Ethernet header in %d bytes", len(frame))
		}
		if got := frame[at : at+packet.MACLen]; !bytes.Equal(got, want[:]) {
			return fmt.Errorf("%s MAC %x, want %x", which, got, want)
		}
		return nil
	}
}

// HasVLAN wants exactly these VLAN tags, outermost first; none without arguments.
func HasVLAN(want ...uint16) Checker {
	return func(frame []byte, _ gopacket.Packet) error {
		if got, _, _ := tags(frame); !slices.Equal(got, want) {
			return fmt.Errorf("VLAN tags %v, want %v", got, want)
		}
		return nil
	}
}

// HasAddrs wants the source and the destination address.
func HasAddrs(src, dst string) Checker {
	want := [2]netip.Addr{netip.MustParseAddr(src), netip.MustParseAddr(dst)}
	return func(_ []byte, decoded gopacket.Packet) error {
		if decoded == nil || decoded.NetworkLayer() == nil {
			return errors.New("no IP packet")
		}
		flow := decoded.NetworkLayer().NetworkFlow()
		s, _ := netip.AddrFromSlice(flow.Src().Raw())
		d, _ := netip.AddrFromSlice(flow.Dst().Raw())
		if got := [2]netip.Addr{s, d}; got != want {
			return fmt.Errorf("addresses %v, want %v", got, want)
		}
		return nil
	}
}

// HasPorts wants the source and the destination port.
func HasPorts(src, dst uint16) Checker {
	return func(_ []byte, decoded gopacket.Packet) error {
		if decoded == nil || decoded.TransportLayer() == nil {
			return errors.New("no transport header")
		}
		flow := decoded.TransportLayer().TransportFlow()
		s, d := binary.BigEndian.Uint16(flow.Src().Raw()), binary.BigEndian.Uint16(flow.Dst().Raw())
		if s != src || d != dst {
			return fmt.Errorf("ports %d -> %d, want %d -> %d", s, d, src, dst)
		}
		return nil
	}
}

// UnchangedExceptMACs wants the frame as it was when this was called, MAC
// addresses aside: what direct routing does. Call it before the frame is forwarded.
func UnchangedExceptMACs(original []byte) Checker {
	const at = 2 * packet.MACLen
	original = bytes.Clone(original)
	return func(frame []byte, _ gopacket.Packet) error {
		if len(frame) != len(original) {
			return fmt.Errorf("%d bytes long, want %d", len(frame), len(original))
		}
		for i := at; i < len(frame); i++ {
			if frame[i] != original[i] {
				return fmt.Errorf("byte %d is %#02x, want it unchanged: %#02x", i, frame[i], original[i])
			}
		}
		return nil
	}
}

// Unchanged wants the frame as it was when this was called.
func Unchanged(original []byte) Checker {
	original = bytes.Clone(original)
	return func(frame []byte, _ gopacket.Packet) error {
		if !bytes.Equal(frame, original) {
			return errors.New("changed, want it as it was")
		}
		return nil
	}
}

// ChecksumsOK wants every checksum right that the frame lets verify: the IPv4
// header's, and the transport's if the packet is whole. A UDP checksum of 0 is
// right in IPv4.
func ChecksumsOK() Checker {
	return func(frame []byte, _ gopacket.Packet) error {
		var p packet.Parsed
		if m := packet.Parse(frame, &p); m != packet.OK {
			return fmt.Errorf("malformed frame: %v", m)
		}
		if p.Kind == packet.KindOther {
			return errors.New("no packet whose checksums are known")
		}
		ip := frame[p.L3 : p.L3+p.Len]
		if h := packet.IPv4(ip); h.Version() == 4 {
			if packet.Sum(0).Add(ip[:h.HeaderLen()]).Checksum() != 0 {
				return fmt.Errorf("IPv4 header checksum %#04x is wrong", h.Checksum())
			}
		}
		return transportChecksum(ip, frame[p.L4:p.L3+p.Len], &p)
	}
}

func transportChecksum(ip, body []byte, p *packet.Parsed) error {
	protocol, sum := p.Tuple.Protocol, packet.Sum(0)
	src, dst := packet.IPv6(ip).Src, packet.IPv6(ip).Dst
	v4 := packet.IPv4(ip).Version() == 4
	if v4 {
		src, dst = packet.IPv4(ip).Src, packet.IPv4(ip).Dst
	}
	switch {
	case p.Kind == packet.KindError && v4:
		protocol = packet.ICMP
	case p.Kind == packet.KindError:
		protocol = packet.ICMPv6
		sum = packet.PseudoHeader(src(), dst(), protocol, len(body))
	case p.Kind != packet.KindFlow:
		return nil // of a fragment, there is not all that the checksum is over
	case protocol == packet.SCTP:
		return sctpChecksum(body)
	case protocol == packet.UDP:
		h := packet.UDPHeader(body)
		if h.Checksum() == 0 && v4 {
			return nil
		}
		body = body[:h.Length()]
		fallthrough
	default:
		sum = packet.PseudoHeader(src(), dst(), protocol, len(body))
	}
	if sum.Add(body).Checksum() != 0 {
		return fmt.Errorf("checksum of protocol %d is wrong", protocol)
	}
	return nil
}

// sctpChecksum verifies the CRC32c over the packet with the field zero, which is
// stored little-endian (RFC 9260, appendix A).
func sctpChecksum(body []byte) error {
	const at = 8
	zeroed := bytes.Clone(body)
	binary.LittleEndian.PutUint32(zeroed[at:], 0)
	want := crc32.Checksum(zeroed, crc32.MakeTable(crc32.Castagnoli))
	if got := binary.LittleEndian.Uint32(body[at:]); got != want {
		return fmt.Errorf("SCTP checksum %#08x, want %#08x", got, want)
	}
	return nil
}
