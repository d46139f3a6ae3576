package bpf

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/internal/packettest"
)

// BenchmarkSteer is the program's own time a frame, by BPF_PROG_RUN. There is no
// socket: a claimed frame ends with the fallback, unless the express lane has it.
//
// A run repeats one frame, so that all it looks at stays in the processor's caches; of
// a large table, too. What a miss costs there, package affinity's benchmarks tell.
func BenchmarkSteer(b *testing.B) {
	services := manyServices(1000)
	fromNetworks := func(n int) (rules []Rule) {
		for i := range n {
			source := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(i >> 8), byte(i), 0}), 24)
			rules = append(rules, Rule{Sources: []netip.Prefix{source}, Claimed: true})
		}
		return rules
	}
	fromPorts := func(n int) (rules []Rule) {
		for i := range n {
			port := uint16(10000 + i)
			rules = append(rules, Rule{SourcePorts: []PortRange{{port, port}}, Claimed: true})
		}
		return rules
	}
	tcp4, tcp6 := packettest.IPv4(client, vip).TCP(1, 80), packettest.IPv6(client6, vip6).TCP(1, 80)
	for _, c := range []struct {
		name   string
		rules  []Rule
		packet packettest.Packet
	}{
		{"arp", nil, packettest.Ethernet(0x0806, make([]byte, 28))},
		{"foreign=ipv4", nil, packettest.IPv4(client, "198.51.100.7").TCP(1, 80)},
		{"foreign=ipv6", nil, packettest.IPv6(client6, "2001:db8:77::7").TCP(1, 80)},
		{"ssh", nil, packettest.IPv4(client, vip).TCP(1, 22)},
		{"claimed=ipv4", nil, tcp4},
		{"claimed=ipv6", nil, tcp6},
		{"claimed=vlan", nil, tcp4.VLAN(5)},
		{"claimed=extensions", nil, tcp6.Through(packettest.HopByHop(8), packettest.DestinationOptions(8))},
		{"claimed=fragment", nil, tcp4.Payload(64).Fragment(40, 999, false)},
		{"claimed=error", nil, packettest.IPv4(router, vip).Unreachable(reply())},
		{"networks=1000/foreign", fromNetworks(1000), packettest.IPv4(client, vip).TCP(1, 22)},
		{"networks=1000/claimed", fromNetworks(1000), packettest.IPv4("172.1.7.9", vip).TCP(1, 22)},
		{"walk=1", fromPorts(1), packettest.IPv4(client, vip).TCP(1, 22)},
		{"walk=32", fromPorts(32), packettest.IPv4(client, vip).TCP(1, 22)},
		{"walk=1000", fromPorts(1000), packettest.IPv4(client, vip).TCP(1, 22)},
	} {
		s := steering(b, c.rules, services)
		setLocals(b, s, map[int][]MAC{1: {packettest.DirectorMAC}})
		benchmarkFrame(b, c.name, s, c.packet)
	}
	for _, c := range []struct {
		name        string
		connections uint32
		packet      packettest.Packet
	}{
		{"express=ipv4", 4096, known4},
		{"express=ipv6", 4096, known6},
		{"express=ipv4/1M", 1 << 20, known4},
		{"express=ipv6/1M", 1 << 20, known6},
	} {
		s := openLane(b, nil, fullTables(b, c.packet, c.connections))
		update(b, s, nil, services)
		expectLane(b, s, true, c.packet)
		benchmarkFrame(b, c.name, s, c.packet)
	}
	for _, n := range []int{1, 1000, 100_000} {
		s := openLane(b, nil, fullTables(b, known4, 4096))
		update(b, s, nil, manyServices(n))
		benchmarkFrame(b, fmt.Sprintf("express=ipv4/services=%d", n), s, known4)
	}
}

// manyServices is web and as many more services as there are to be, two of each address.
func manyServices(n int) []Service {
	services := web()
	for i := range n {
		addr := netip.AddrFrom4([4]byte{100, byte(i >> 17), byte(i >> 9), byte(i >> 1)})
		services = append(services, Service{Protocol: TCP, Addr: addr, Port: 80 + uint16(i%2)})
	}
	return services
}

func benchmarkFrame(b *testing.B, name string, s *Steering, p packettest.Packet) {
	frame := p.Frame(b)
	again := restoring(b, s, frame)
	b.Run(name, func(b *testing.B) {
		_, perFrame, err := again.Benchmark(frame, b.N, b.ResetTimer)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(perFrame.Nanoseconds()), "ns/frame")
	})
}

// fullTables is tables with room for so many connections of the packet's family, and as
// many in them: the packet's, which came first and so is in its home bucket, and those
// of clients with other addresses.
func fullTables(b *testing.B, p packettest.Packet, connections uint32) *TableMemory {
	b.Helper()
	config := affinity.Config{Connections4: connections, Connections6: connections, Servers: laneConfig.Servers}
	memory := openTables(b, nil, config.Size())
	tables, tuple := formatTables(b, memory, config), tupleOf(b, p)
	for range connections {
		connect(b, tables, tuple)
		tuple.Src.Lo++
	}
	return memory
}

// BenchmarkUpdate is one change of a thousand services.
func BenchmarkUpdate(b *testing.B) {
	s := open(b, Options{})
	services := make([]Service, 1000)
	for i := range services {
		services[i] = Service{Protocol: TCP, Addr: netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), Port: 80}
	}
	for i := 0; b.Loop(); i++ {
		services[0].Port = uint16(i%2) + 80
		update(b, s, nil, services)
	}
}
