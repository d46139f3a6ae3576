package packet_test

import (
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

// TestEthernet reads and writes MAC addresses, and touches nothing else.
func TestEthernet(t *testing.T) {
	frame := tcp4().VLAN(5).Frame(t)
	others, e := UnchangedExceptMACs(frame), packet.Ethernet(frame)
	if e.Src() != RouterMAC || e.Dst() != DirectorMAC || e.Type() != packet.EtherTypeVLAN {
		t.Errorf("%x -> %x, type %#04x", e.Src(), e.Dst(), e.Type())
	}
	real, director := MAC{2, 0, 0, 0, 0, 8}, MAC{2, 0, 0, 0, 0, 9}
	e.SetDst(real)
	e.SetSrc(director)
	Check(t, frame, others, HasDstMAC(real), HasSrcMAC(director))
}

// TestViewsReadWhatGopacketReads is about the fields that Parse does not need.
func TestViewsReadWhatGopacketReads(t *testing.T) {
	tcp, udp, unreachable := tcp4(), udp4().Payload(9), IPv4(router4, vip4).Unreachable(reply4())
	l4 := packet.IPv4Len

	ip, g := decodeIP(t, tcp)
	if got, want := packet.IPv4(ip).Checksum(), g.Layer(layers.LayerTypeIPv4).(*layers.IPv4).Checksum; got != want {
		t.Errorf("IPv4 checksum %#04x, want %#04x", got, want)
	}
	if got, want := packet.TCPHeader(ip[l4:]).Checksum(), g.Layer(layers.LayerTypeTCP).(*layers.TCP).Checksum; got != want {
		t.Errorf("TCP checksum %#04x, want %#04x", got, want)
	}
	ip, g = decodeIP(t, udp)
	if got, want := packet.UDPHeader(ip[l4:]).Checksum(), g.Layer(layers.LayerTypeUDP).(*layers.UDP).Checksum; got != want {
		t.Errorf("UDP checksum %#04x, want %#04x", got, want)
	}
	ip, g = decodeIP(t, unreachable)
	h, want := packet.ICMPHeader(ip[l4:]), g.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if h.Type() != want.TypeCode.Type() || h.Code() != want.TypeCode.Code() || h.Checksum() != want.Checksum {
		t.Errorf("ICMP type %d code %d checksum %#04x, want %v", h.Type(), h.Code(), h.Checksum(), want)
	}
}

func decodeIP(t *testing.T, p Packet) ([]byte, gopacket.Packet) {
	t.Helper()
	ip := p.Frame(t)[packet.EthernetLen:]
	return ip, gopacket.NewPacket(ip, layers.LayerTypeIPv4, gopacket.Default)
}
