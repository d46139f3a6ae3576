package packettest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/xlvs/xlvs/packet"
)

// Bytes is Frame for callers other than tests.
func (p Packet) Bytes() ([]byte, error) {
	body := p.payload
	if p.src.IsValid() {
		var err error
		if body, err = p.ipPacket(); err != nil {
			return nil, err
		}
	}
	frame := p.link()
	l3 := len(frame)
	frame = append(frame, body...)
	for _, l := range p.lies {
		frame = l(frame, l3, l3+p.headers())
	}
	return slices.Clip(frame), nil
}

// link is the Ethernet header with its tags.
func (p Packet) link() []byte {
	b := slices.Concat(p.dstMAC[:], p.srcMAC[:])
	for _, t := range p.tags {
		b = binary.BigEndian.AppendUint16(b, uint16(t.etherType))
		b = binary.BigEndian.AppendUint16(b, t.id)
	}
	return binary.BigEndian.AppendUint16(b, uint16(p.etherType))
}

// headers is the length of the IP header, options and extensions included.
func (p Packet) headers() int {
	switch p.etherType {
	case packet.EtherTypeIPv4:
		return packet.IPv4Len + p.options
	case packet.EtherTypeIPv6:
		n := packet.IPv6Len
		for _, e := range p.allExtensions() {
			n += len(e.body)
		}
		return n
	}
	return 0
}

// allExtensions are the extension headers with the fragment header that
// Fragment asked for.
func (p Packet) allExtensions() []Extension {
	if p.fragment == nil {
		return p.extensions
	}
	return append(slices.Clip(p.extensions), FragmentHeader(p.id, p.fragment.from, p.fragment.more))
}

// ipPacket is the packet from the IP header on.
func (p Packet) ipPacket() ([]byte, error) {
	body, err := p.transport()
	if err != nil {
		return nil, err
	}
	if f := p.fragment; f != nil {
		body = body[min(f.from, len(body)):min(f.to, len(body))]
	}
	if p.etherType == packet.EtherTypeIPv4 {
		return serialize(p.ipv4(), gopacket.Payload(body))
	}
	extensions, first := link(p.allExtensions(), p.protocol)
	h := p.ipv6()
	h.NextHeader = layers.IPProtocol(first)
	return serialize(h, gopacket.Payload(extensions), gopacket.Payload(body))
}

func (p Packet) ipv4() *layers.IPv4 {
	h := &layers.IPv4{
		Version: 4, TOS: p.dscp << 2, Id: uint16(p.id), TTL: p.ttl,
		Protocol: layers.IPProtocol(p.protocol), SrcIP: p.src.AsSlice(), DstIP: p.dst.AsSlice(),
	}
	for range p.options {
		h.Options = append(h.Options, layers.IPv4Option{OptionType: 1})
	}
	if p.dontFragment {
		h.Flags |= layers.IPv4DontFragment
	}
	if f := p.fragment; f != nil {
		h.FragOffset = uint16(f.from / 8)
		if f.more {
			h.Flags |= layers.IPv4MoreFragments
		}
	}
	return h
}

func (p Packet) ipv6() *layers.IPv6 {
	return &layers.IPv6{
		Version: 6, TrafficClass: p.dscp << 2, HopLimit: p.ttl,
		NextHeader: layers.IPProtocol(p.protocol), SrcIP: p.src.AsSlice(), DstIP: p.dst.AsSlice(),
	}
}

// transport is what follows the IP header and its extensions, of the whole
// packet if it is a fragment.
func (p Packet) transport() ([]byte, error) {
	var network gopacket.NetworkLayer = p.ipv6()
	if p.etherType == packet.EtherTypeIPv4 {
		network = p.ipv4()
	}
	switch p.protocol {
	case packet.TCP:
		h := p.tcp()
		h.SetNetworkLayerForChecksum(network)
		return serialize(h, gopacket.Payload(p.payload))
	case packet.UDP:
		h := &layers.UDP{SrcPort: layers.UDPPort(p.srcPort), DstPort: layers.UDPPort(p.dstPort)}
		h.SetNetworkLayerForChecksum(network)
		return serialize(h, gopacket.Payload(p.payload))
	case packet.SCTP:
		h := &layers.SCTP{SrcPort: layers.SCTPPort(p.srcPort), DstPort: layers.SCTPPort(p.dstPort), VerificationTag: p.verification}
		return serialize(h, gopacket.Payload(slices.Concat(p.bundled, chunk(p.kind, p.payload))))
	case packet.ICMP:
		body, err := p.quote(576 - packet.IPv4Len - packet.ICMPLen)
		h := &layers.ICMPv4{
			TypeCode: layers.CreateICMPv4TypeCode(p.kind, p.code),
			Id:       uint16(p.icmpRest >> 16), Seq: uint16(p.icmpRest),
		}
		return serializeAfter(err, h, gopacket.Payload(body))
	case packet.ICMPv6:
		body, err := p.quote(1280 - packet.IPv6Len - packet.ICMPLen)
		h := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(p.kind, p.code)}
		h.SetNetworkLayerForChecksum(network)
		rest := binary.BigEndian.AppendUint32(nil, p.icmpRest)
		return serializeAfter(err, h, gopacket.Payload(rest), gopacket.Payload(body))
	}
	return p.payload, nil
}

func (p Packet) tcp() *layers.TCP {
	h := &layers.TCP{
		SrcPort: layers.TCPPort(p.srcPort), DstPort: layers.TCPPort(p.dstPort),
		Seq: p.sequence, Ack: p.ack, Window: 65535,
		FIN: p.flags&packet.FIN != 0, SYN: p.flags&packet.SYN != 0,
		RST: p.flags&packet.RST != 0, PSH: p.flags&packet.PSH != 0,
		ACK: p.flags&packet.ACK != 0, URG: p.flags&packet.URG != 0,
		ECE: p.flags&packet.ECE != 0, CWR: p.flags&packet.CWR != 0,
	}
	for range p.tcpOptions {
		h.Options = append(h.Options, layers.TCPOption{OptionType: layers.TCPOptionKindNop})
	}
	return h
}

// chunk is an SCTP chunk with a value, padded to four bytes (RFC 9260, 3.2).
func chunk(kind uint8, value []byte) []byte {
	const header = 4
	b := []byte{kind, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(header+len(value)))
	b = append(b, value...)
	return append(b, make([]byte, -len(b)&3)...)
}

// quote is the body of an ICMP message: the payload, or up to limit bytes of
// the packet that an error is about, from its IP header on.
func (p Packet) quote(limit int) ([]byte, error) {
	if p.about == nil {
		return p.payload, nil
	}
	frame, err := p.about.Bytes()
	if err != nil {
		return nil, fmt.Errorf("packet that the ICMP error is about: %w", err)
	}
	b := frame[min(len(p.about.link()), len(frame)):]
	return b[:min(limit, len(b))], nil
}

func serializeAfter(err error, l ...gopacket.SerializableLayer) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return serialize(l...)
}

func serialize(l ...gopacket.SerializableLayer) ([]byte, error) {
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, l...); err != nil {
		return nil, err
	}
	return bytes.Clone(buffer.Bytes()), nil
}
