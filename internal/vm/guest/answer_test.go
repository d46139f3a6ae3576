//go:build vmtest

package guest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/xlvs/xlvs/packet"
)

// unlike tells how two directors' traces of one packet differ, "" if they do not. Of
// frames to a server all but the MAC addresses counts; of answers what they say.
func unlike(t testing.TB, kernel, ours *trace) string {
	t.Helper()
	if kernel.outcome != ours.outcome {
		return fmt.Sprintf("ipvs sends it to %v, xlvs to %v", kernel.outcome, ours.outcome)
	}
	if kernel.outcome == returned {
		if k, o := kernel.answer(t), ours.answer(t); k != o {
			return fmt.Sprintf("ipvs answers %q, xlvs %q", k, o)
		}
		return ""
	}
	if len(kernel.came) != len(ours.came) {
		return fmt.Sprintf("%d frames leave ipvs, %d xlvs", len(kernel.came), len(ours.came))
	}
	for i := range kernel.came {
		if k, o := kernel.came[i], ours.came[i]; !bytes.Equal(withoutSource(k), withoutSource(o)) {
			return fmt.Sprintf("frame %d:\nipvs %x\nxlvs %x\nsent %x", i+1, k, o, kernel.sent)
		}
	}
	return ""
}

// withoutSource is a frame without its source MAC address.
func withoutSource(frame []byte) []byte {
	return append(bytes.Clone(frame[:packet.MACLen]), frame[2*packet.MACLen:]...)
}

// answer is what the only frame of the trace says.
func (r *trace) answer(t testing.TB) string {
	t.Helper()
	if len(r.came) != 1 {
		return fmt.Sprintf("%d frames", len(r.came))
	}
	return describe(r.came[0], r.sent)
}

// describe says in words what an answer to a frame is. Addresses are named by what they
// are on the wire.
func describe(answer, sent []byte) string {
	reply, about := decodeIP(answer), decodeIP(sent)
	if reply.ErrorLayer() != nil || reply.NetworkLayer() == nil {
		return fmt.Sprintf("not understood: %v", reply)
	}
	flow := reply.NetworkLayer().NetworkFlow()
	between := fmt.Sprintf("%s to %s", named(flow.Src()), named(flow.Dst()))
	for _, layer := range reply.Layers() {
		switch h := layer.(type) {
		case *layers.TCP:
			if h.TransportFlow() != about.TransportLayer().TransportFlow().Reverse() {
				return "a segment of another connection"
			}
			return fmt.Sprintf("%s: TCP%s seq %d ack %d", between, flagNames(h), h.Seq, h.Ack)
		case *layers.SCTP:
			if h.TransportFlow() != about.TransportLayer().TransportFlow().Reverse() {
				return "a chunk of another association"
			}
			return fmt.Sprintf("%s: SCTP tag %d chunk % x", between, h.VerificationTag, h.Payload)
		case *layers.ICMPv4:
			mtu := uint32(h.Seq)
			return fmt.Sprintf("%s: %v%s", between, h.TypeCode, quoting(mtu, h.Payload, sent))
		case *layers.ICMPv6:
			mtu := binary.BigEndian.Uint32(h.Payload)
			return fmt.Sprintf("%s: %v%s", between, h.TypeCode, quoting(mtu, h.Payload[4:], sent))
		}
	}
	return fmt.Sprintf("%s: %v", between, reply)
}

// withoutHops is a packet without its TTL and what depends on it.
func withoutHops(ip []byte) []byte {
	ip = bytes.Clone(ip)
	if ip[0]>>4 == 4 {
		ip[8], ip[10], ip[11] = 0, 0, 0
	} else {
		ip[7] = 0
	}
	return ip
}

func decodeIP(frame []byte) gopacket.Packet {
	first := layers.LayerTypeIPv4
	if packet.Ethernet(frame).Type() == packet.EtherTypeIPv6 {
		first = layers.LayerTypeIPv6
	}
	return gopacket.NewPacket(frame[packet.EthernetLen:], first, gopacket.NoCopy)
}

// named is what an address is on the wire.
func named(e gopacket.Endpoint) string {
	a, _ := netip.AddrFromSlice(e.Raw())
	switch {
	case prefix(vips4).Contains(a) || prefix(vips6).Contains(a):
		return "VIP"
	case a == address("10.0.0.1") || a == address("fd00::1"):
		return "director"
	}
	return "client"
}

func flagNames(h *layers.TCP) (names string) {
	for _, f := range []struct {
		set  bool
		name string
	}{{h.SYN, " SYN"}, {h.FIN, " FIN"}, {h.RST, " RST"}, {h.ACK, " ACK"}} {
		if f.set {
			names += f.name
		}
	}
	return names
}

// quoting says what MTU an ICMP error tells, if any, and how much of a frame's packet it
// quotes. It may have taken a hop from that first.
func quoting(mtu uint32, quote, sent []byte) (says string) {
	if mtu != 0 {
		says = fmt.Sprintf(", MTU %d", mtu)
	}
	quote, ip := withoutHops(quote), withoutHops(sent[packet.EthernetLen:])
	switch {
	case bytes.Equal(quote, ip):
		return says + ", quotes it"
	case bytes.HasPrefix(ip, quote):
		return says + fmt.Sprintf(", quotes %d bytes", len(quote))
	}
	return says + fmt.Sprintf(", quotes %x", quote)
}
