//go:build vmtest

package guest

import (
	"net/netip"
	"testing"

	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

// playMark: under one mark all ports and protocols of a client share one template.
func playMark(t *testing.T, ipv6 bool) {
	p := begin(t, ipv6, byMark("rr", 300, "", servers(1, 1, 1)...))
	p.goes("the first client's SYN", p.from("1").TCP(1000, 80).SYN(), 3)
	p.goes("its ACK", p.from("1").TCP(1000, 80).ACK(), 3)
	p.goes("its SYN to another port", p.from("1").TCP(1001, 443).SYN(), 3)
	p.goes("its datagram", p.from("1").UDP(1002, 443), 3)
	p.goes("another client", p.from("2").TCP(1000, 80).SYN(), 2)
	p.goes("a third client", p.from("3").TCP(1000, 443).SYN(), 1)
	p.goes("the first client's FIN", p.from("1").TCP(1000, 80).FIN().ACK(), 3)
	p.goes("the second client's reset", p.from("2").TCP(1000, 80).RST(), 2)
	p.goes("a segment of no connection", p.from("4").TCP(1000, 80).ACK(), nowhere)
	p.goes("a port without the mark", p.from("1").TCP(1003, 22).SYN(), nowhere)
}

// segments are what the plays of states send, by name.
var segments = []struct {
	name  string
	flags uint8
}{
	{"SYN", packet.SYN},
	{"ACK", packet.ACK},
	{"FIN", packet.FIN | packet.ACK},
	{"RST", packet.RST},
	{"SYN+ACK", packet.SYN | packet.ACK},
	{"none", 0},
}

// playStates goes by every path of three segments after a SYN through the states
// of a connection.
func playStates(t *testing.T) { playPaths(t, 0) }

// playTemplatedStates does the same under persistence, where a connection is never
// scheduled anew.
func playTemplatedStates(t *testing.T) { playPaths(t, 300) }

func playPaths(t *testing.T, persistence int) {
	p := begin(t, false, byAddress("tcp", 80, "rr", persistence, servers(1)...))
	port := uint16(1000)
	var walk func(path []uint8, name string)
	walk = func(path []uint8, name string) {
		if len(path) == 3 {
			port++
			for _, flags := range append([]uint8{packet.SYN}, path...) {
				p.show(p.from("1").TCP(port, 80).Flags(flags))
			}
			return
		}
		for _, s := range segments[:4] {
			walk(append(path[:len(path):len(path)], s.flags), name+" "+s.name)
		}
	}
	walk(nil, "SYN")
	p.compare("after every path of three segments")
	port++
	for _, s := range segments {
		p.show(p.from("1").TCP(port, 80).SYN())
		p.show(p.from("1").TCP(port, 80).Flags(s.flags))
		port++
	}
	p.compare("after odd segments")
}

// playReuse: a SYN for a connection that has ended is a new one, if the client has no template.
func playReuse(t *testing.T) {
	p := begin(t, false, byAddress("tcp", 80, "rr", 0, servers(1, 1)...))
	p.goes("a SYN", p.from("1").TCP(1000, 80).SYN(), 2)
	p.goes("the SYN again", p.from("1").TCP(1000, 80).SYN(), 2)
	p.goes("a reset", p.from("1").TCP(1000, 80).RST(), 2)
	p.goes("a SYN from SYN_RECV after a reset", p.from("1").TCP(1000, 80).SYN(), 2)
	p.goes("an ACK", p.from("1").TCP(1000, 80).ACK(), 2)
	p.goes("a SYN while established", p.from("1").TCP(1000, 80).SYN(), 2)
	p.goes("a reset", p.from("1").TCP(1000, 80).RST(), 2)
	p.goes("a SYN after the reset", p.from("1").TCP(1000, 80).SYN(), 1)
	p.goes("an ACK", p.from("1").TCP(1000, 80).ACK(), 1)
	p.goes("a FIN", p.from("1").TCP(1000, 80).FIN().ACK(), 1)
	p.goes("a SYN after the FIN", p.from("1").TCP(1000, 80).SYN(), 1)
	p.goes("another SYN", p.from("1").TCP(1001, 80).SYN(), 2)
	p.goes("a FIN straight after it", p.from("1").TCP(1001, 80).FIN(), 2)
	p.goes("a SYN in TIME_WAIT", p.from("1").TCP(1001, 80).SYN(), 1)
}

// playSloppy: any segment opens a connection.
func playSloppy(t *testing.T) {
	p := begin(t, false, with(byAddress("tcp", 80, "rr", 0, servers(1, 1)...), func(s *setup) { s.sloppy = true }))
	p.goes("an ACK", p.from("1").TCP(1000, 80).ACK(), 2)
	p.goes("a FIN", p.from("1").TCP(1001, 80).FIN().ACK(), 1)
	p.goes("a reset", p.from("1").TCP(1002, 80).RST(), nowhere)
	p.goes("a segment without flags", p.from("1").TCP(1003, 80), 2)
}

// playErrors: ICMP errors follow the connection that they are about.
func playErrors(t *testing.T, ipv6 bool) {
	p := begin(t, ipv6, byAddress("tcp", 80, "rr", 0, servers(1, 1)...))
	router := packettest.IP(p.client("254"), p.vip)
	// about is what a server of a connection had sent to the client; it is followed
	// by what the wire would number a packet with.
	about := func(port uint16) packettest.Packet {
		p.Helper()
		serial := max(p.stage.kernelWire.serial, p.stage.oursWire.serial) + 1
		p.stage.kernelWire.serial, p.stage.oursWire.serial = serial-1, serial-1
		return packettest.IP(p.vip, p.client("1")).TCP(80, port).ACK().Data(payload(serial))
	}
	p.goes("a SYN", p.from("1").TCP(1000, 80).SYN(), 2)
	p.goes("too big", router.TooBig(1400, about(1000)), 2)
	p.goes("unreachable", router.Unreachable(about(1000)), 2)
	p.goes("too big, of no connection", router.TooBig(1400, about(1001)), nowhere)
}

// playLookupOrder: the mark's service, the port's, that of all ports.
func playLookupOrder(t *testing.T) {
	p := begin(t, false, func(vip netip.Addr, mark uint32) setup {
		return setup{
			marks: []rule{{mark: mark, protocol: "tcp", vip: vip, ports: []string{"80"}}},
			services: []virtual{
				{mark: mark, scheduler: "rr", servers: []server{{number: 1, weight: 1}}},
				{protocol: "tcp", vip: vip, port: 80, scheduler: "rr", servers: []server{{number: 2, weight: 1}}},
				{protocol: "tcp", vip: vip, port: 81, scheduler: "rr", servers: []server{{number: 3, weight: 1}}},
				{protocol: "tcp", vip: vip, port: 0, scheduler: "rr", persistence: 300, servers: []server{{number: 4, weight: 1}}},
				{protocol: "udp", vip: vip, port: 80, scheduler: "rr", servers: []server{{number: 5, weight: 1}}},
			},
		}
	})
	p.goes("the mark comes before the port", p.from("1").TCP(1000, 80).SYN(), 1)
	p.goes("the port before all ports", p.from("1").TCP(1000, 81).SYN(), 3)
	p.goes("all ports", p.from("1").TCP(1000, 82).SYN(), 4)
	p.goes("another protocol", p.from("1").UDP(1000, 80), 5)
	p.goes("another protocol, another port", p.from("1").UDP(1000, 81), nowhere)
	p.change(func(s *setup) { s.services = s.services[1:] })
	p.goes("the mark without its service", p.from("2").TCP(1000, 80).SYN(), 2)
}

// playOnePacket: each datagram is scheduled for itself.
func playOnePacket(t *testing.T) {
	p := begin(t, false, with(byAddress("udp", 53, "rr", 0, servers(1, 1, 1)...), func(s *setup) { s.services[0].onePacket = true }))
	for i := range 6 {
		p.goes("a datagram", p.from("1").UDP(1000, 53), outcome(3-i%3))
	}
}

// playFrames: what direct routing changes in a frame.
func playFrames(t *testing.T, ipv6 bool) {
	p := begin(t, ipv6, byAddress("udp", 53, "rr", 0, servers(1)...))
	p.goes("a datagram", p.from("1").UDP(1000, 53).TTL(9).DSCP(10), 1)
	packettest.Check(t, p.stage.oursWire.received, packettest.UnchangedExceptMACs(p.stage.oursWire.sent))
	p.differs("a datagram at the end of its hops", p.from("1").UDP(1000, 53).TTL(1), nowhere, 1,
		"IPVS takes a hop from the packet and answers time exceeded (ip_vs_xmit.c, decrement_ttl); xlvs leaves the packet untouched")
}
