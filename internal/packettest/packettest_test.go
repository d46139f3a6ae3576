package packettest_test

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

const (
	client4, vip4 = "192.0.2.1", "203.0.113.10"
	client6, vip6 = "2001:db8::1", "2001:db8:1::10"
)

func tcp4() packettest.Packet { return packettest.IPv4(client4, vip4).TCP(1024, 80) }
func udp6() packettest.Packet { return packettest.IPv6(client6, vip6).UDP(1024, 53) }

// TestSentences has gopacket read what was written.
func TestSentences(t *testing.T) {
	tests := []struct {
		name   string
		packet packettest.Packet
		want   []gopacket.LayerType
	}{
		{"TCP", tcp4().SYN(), []gopacket.LayerType{layers.LayerTypeEthernet, layers.LayerTypeIPv4, layers.LayerTypeTCP}},
		{"tagged", udp6().Tag(packet.EtherTypeQinQ, 7).VLAN(5).Payload(12), []gopacket.LayerType{
			layers.LayerTypeEthernet, layers.LayerTypeDot1Q, layers.LayerTypeDot1Q,
			layers.LayerTypeIPv6, layers.LayerTypeUDP}},
		{"options", tcp4().Options(40).TCPOptions(40), []gopacket.LayerType{
			layers.LayerTypeEthernet, layers.LayerTypeIPv4, layers.LayerTypeTCP}},
		{"extensions", udp6().Through(packettest.HopByHop(8), packettest.Routing(1), packettest.FragmentHeader(7, 0, false)),
			[]gopacket.LayerType{layers.LayerTypeEthernet, layers.LayerTypeIPv6, layers.LayerTypeIPv6HopByHop,
				layers.LayerTypeIPv6Routing, layers.LayerTypeIPv6Fragment}},
		{"SCTP", packettest.IPv4(client4, vip4).SCTP(9, 10).Chunk(1).Payload(16), []gopacket.LayerType{
			layers.LayerTypeEthernet, layers.LayerTypeIPv4, layers.LayerTypeSCTP, layers.LayerTypeSCTPInit}},
		{"ping", packettest.IPv4(client4, vip4).Ping(), []gopacket.LayerType{
			layers.LayerTypeEthernet, layers.LayerTypeIPv4, layers.LayerTypeICMPv4}},
		{"ICMPv6 error", packettest.IPv6(client6, vip6).TooBig(1280, udp6()), []gopacket.LayerType{
			layers.LayerTypeEthernet, layers.LayerTypeIPv6, layers.LayerTypeICMPv6}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			decoded := gopacket.NewPacket(test.packet.Frame(t), layers.LayerTypeEthernet, gopacket.Default)
			for i, want := range test.want {
				if i >= len(decoded.Layers()) || decoded.Layers()[i].LayerType() != want {
					t.Fatalf("layer %d is not %v: %v", i, want, decoded)
				}
			}
		})
	}
}

// TestChecksums holds gopacket's checksums against this package's checker.
func TestChecksums(t *testing.T) {
	sctp := packettest.IPv6(client6, vip6).SCTP(1, 2).Payload(7)
	for name, p := range map[string]packettest.Packet{
		"TCP":    tcp4().Options(8).Payload(101),
		"UDP":    udp6().Through(packettest.DestinationOptions(24)).Payload(33),
		"SCTP":   sctp,
		"ICMP":   packettest.IPv4(client4, vip4).Unreachable(tcp4()),
		"ICMPv6": packettest.IPv6(client6, vip6).Unreachable(sctp),
	} {
		t.Run(name, func(t *testing.T) {
			packettest.Check(t, p.Padded(60).Frame(t), packettest.ChecksumsOK())
			if packettest.ChecksumsOK()(p.WrongChecksum().Frame(t), nil) == nil {
				t.Error("a wrong checksum passed")
			}
		})
	}
	frame := tcp4().Frame(t)
	frame[packet.EthernetLen+8]-- // TTL
	if packettest.ChecksumsOK()(frame, nil) == nil {
		t.Error("a wrong IPv4 header checksum passed")
	}
}

// TestFragments puts fragments together again.
func TestFragments(t *testing.T) {
	for name, p := range map[string]packettest.Packet{
		"IPv4": tcp4().Payload(1000).ID(7),
		"IPv6": udp6().Payload(1000).ID(1 << 20),
	} {
		t.Run(name, func(t *testing.T) {
			whole := p.Frame(t)
			var got []byte
			for i, f := range p.Fragments(t, 256) {
				var parsed packet.Parsed
				want := packet.KindFragment
				if i == 0 {
					want = packet.KindFirst
				}
				if m := packet.Parse(f, &parsed); m != packet.OK || parsed.Kind != want {
					t.Fatalf("fragment %d: %v, %v, want %v", i, m, parsed.Kind, want)
				}
				got = append(got, f[parsed.L4:]...)
			}
			if !bytes.HasSuffix(whole, got) || len(got) < 1000 {
				t.Error("fragments do not add up to the packet")
			}
		})
	}
}

// TestAValue continues one beginning in two ways.
func TestAValue(t *testing.T) {
	base := tcp4().VLAN(1)
	a, b := base.VLAN(2).SYN(), base.VLAN(3).ACK()
	packettest.Check(t, a.Frame(t), packettest.HasVLAN(1, 2))
	packettest.Check(t, b.Frame(t), packettest.HasVLAN(1, 3))
	packettest.Check(t, base.Frame(t), packettest.HasVLAN(1))
}

// TestCheckers has each checker agree and object.
func TestCheckers(t *testing.T) {
	other := packettest.MAC{2, 9, 9, 9, 9, 9}
	frame := tcp4().VLAN(5).Frame(t)
	forwarded := bytes.Clone(frame)
	packet.Ethernet(forwarded).SetDst(other)
	damaged := bytes.Clone(frame)
	damaged[len(damaged)-1]++

	decoded := gopacket.NewPacket(frame[packet.EthernetLen+packet.VLANTagLen:], layers.LayerTypeIPv4, gopacket.Default)
	tests := []struct {
		name  string
		good  packettest.Checker
		bad   packettest.Checker
		frame []byte
	}{
		{"HasDstMAC", packettest.HasDstMAC(other), packettest.HasDstMAC(packettest.DirectorMAC), forwarded},
		{"HasSrcMAC", packettest.HasSrcMAC(packettest.RouterMAC), packettest.HasSrcMAC(other), frame},
		{"HasVLAN", packettest.HasVLAN(5), packettest.HasVLAN(), frame},
		{"HasAddrs", packettest.HasAddrs(client4, vip4), packettest.HasAddrs(vip4, client4), frame},
		{"HasPorts", packettest.HasPorts(1024, 80), packettest.HasPorts(80, 1024), frame},
		{"UnchangedExceptMACs", packettest.UnchangedExceptMACs(frame), packettest.UnchangedExceptMACs(damaged), forwarded},
		{"Unchanged", packettest.Unchanged(frame), packettest.Unchanged(forwarded), frame},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			packettest.Check(t, test.frame, test.good)
			if test.bad(test.frame, decoded) == nil {
				t.Error("passed what it must not")
			}
		})
	}
}
