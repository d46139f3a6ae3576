//go:build vmtest

package guest

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

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
	p.goes("a segment of no connection", p.from("4").TCP(1000, 80).ACK(), returned)
	p.goes("a port without the mark", p.from("1").TCP(1003, 22).SYN(), returned)
}

// segments are the TCP flags of what the plays of states send; the last two are odd.
var segments = []uint8{
	packet.SYN, packet.ACK, packet.FIN | packet.ACK, packet.RST,
	packet.SYN | packet.ACK, 0,
}

// playStates goes by every path of three segments after a SYN through the states
// of a connection.
func playStates(t *testing.T) { playPaths(t, 0) }

// playTemplatedStates does the same under persistence, where a connection is never
// scheduled anew.
func playTemplatedStates(t *testing.T) { playPaths(t, 300) }

func playPaths(t *testing.T, persistence int) {
	p := begin(t, false, byAddress("tcp", 80, "rr", persistence, servers(1)...))
	var paths, reopened [][]uint8
	for i := range 64 {
		path := []uint8{packet.SYN, segments[i>>4], segments[i>>2&3], segments[i&3]}
		if reopens(path) {
			reopened = append(reopened, path)
		} else {
			paths = append(paths, path)
		}
	}
	port := uint16(1000)
	for _, path := range paths {
		port++
		p.walk(port, path...)
	}
	p.compare("after every path of three segments")
	for _, flags := range segments {
		port++
		p.walk(port, packet.SYN, flags)
	}
	p.compare("after odd segments")
	p.setApart("1")
	for _, path := range reopened {
		port++
		p.walk(port, path...)
		p.reopened(port)
	}
}

// walk shows segments of one connection.
func (p *play) walk(port uint16, path ...uint8) {
	p.Helper()
	for i, flags := range path {
		p.alike(fmt.Sprintf("segment %d of the flags %v", i+1, path), p.from("1").TCP(port, 80).Flags(flags))
	}
}

// reopens tells whether a path has a segment with ACK that comes after a reset, not
// straight after a SYN: such a connection xlvs takes for established again.
func reopens(path []uint8) bool {
	answered, closed := false, false
	for _, flags := range path {
		switch {
		case flags&packet.RST != 0:
			closed = answered
		case flags == packet.SYN && closed:
			answered, closed = false, false
		case flags == packet.ACK && closed:
			return true
		case flags != packet.SYN:
			answered = true
		}
	}
	return false
}

// reopened wants a connection closed in IPVS and open in xlvs.
func (p *play) reopened(port uint16) {
	p.Helper()
	kernel, ours := p.stage.kernel.view(p), p.stage.ours.view(p)
	at := netip.AddrPortFrom(p.client("1"), port)
	if got := kernel.stateOf(at); got != "CLOSE" {
		p.Errorf("ipvs has port %d in %q, expected CLOSE", port, got)
	}
	if got := ours.stateOf(at); got != "ESTABLISHED" && got != "FIN_WAIT" {
		p.Errorf("xlvs has port %d in %q, expected ESTABLISHED or FIN_WAIT", port, got)
	}
	p.documented("an ACK behind a reset", closedLives)
}

// playForgedReset: a reset that the server did not believe ends no connection in xlvs,
// nor does a SYN straight after it move one.
func playForgedReset(t *testing.T, answered bool) {
	p := begin(t, false, byAddress("tcp", 80, "rr", 0, servers(1, 1)...))
	conn := p.from("1").TCP(1000, 80)
	p.goes("a SYN", conn.SYN(), 2)
	p.goes("a reset before an answer", conn.RST(), 2)
	p.goes("its ACK", conn.ACK(), 2)
	p.goes("a reset", conn.RST(), 2)
	p.setApart("1")
	if answered {
		p.goes("the client goes on", conn.ACK(), 2)
	}
	p.differs("a SYN after that", conn.SYN(), 1, 2, closedLives)
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
	time.Sleep(3 * time.Second) // xlvs waits for who was reset by somebody else
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
		return packettest.IP(p.vip, p.client("1")).TCP(80, port).ACK().Data(payload(p.nextSerial()))
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
	p.goes("another protocol, another port", p.from("1").UDP(1000, 81), returned)
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

// playFrames: what direct routing changes in a packet, and what not.
func playFrames(t *testing.T, ipv6 bool) {
	p := begin(t, ipv6, byAddress("udp", 53, "rr", 0, servers(1)...))
	p.goes("a datagram", p.from("1").UDP(1000, 53).TTL(9).DSCP(10), 1)
	p.goes("its next", p.from("1").UDP(1000, 53).TTL(255), 1)
	p.goes("one with its last hop but one", p.from("1").UDP(1000, 53).TTL(2), 1)
}
