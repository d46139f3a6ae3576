//go:build vmtest

package guest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

// What answers say, as describe puts it.

// icmpError is an ICMP or ICMPv6 error of IPVS, by its name in each.
func icmpError(ipv6 bool, name4, name6 string) string {
	if ipv6 {
		return "VIP to client: " + name6
	}
	return "VIP to client: " + name4
}

// whole is of an error that quotes all of the packet.
const whole = ", quotes it"

// noServer is the answer to what no server can have (ip_vs_leave).
func noServer(ipv6 bool) string {
	const name4, name6 = "DestinationUnreachable(Port)", "DestinationUnreachable(PortUnreachable)"
	return icmpError(ipv6, name4, name6) + whole
}

// reset is a TCP reset with these flags and numbers.
func reset(says string) string { return "VIP to client: TCP" + says }

// playNoServer: a service without servers says so.
func playNoServer(t *testing.T, ipv6 bool) {
	p := begin(t, ipv6, serverless("tcp", "udp", "sctp"))
	p.answers("a SYN", p.from("1").TCP(1000, 80).SYN(), noServer(ipv6))
	p.answers("a datagram", p.from("1").UDP(1000, 80), noServer(ipv6))
	p.answers("an INIT", p.from("1").SCTP(1000, 80).Chunk(packet.ChunkInit), noServer(ipv6))
	long := p.from("1").UDP(1000, 80).Payload(1000)
	if ipv6 {
		p.answers("a long datagram", long, noServer(ipv6))
	} else {
		says := strings.Replace(noServer(ipv6), whole, ", quotes 548 bytes", 1)
		p.answers("a long datagram", long, says)
	}
}

// playNoConnection: a segment that belongs to no connection is answered by a reset (RFC
// 9293, 3.10.7.1), which in IPVS the director's own stack does.
func playNoConnection(t *testing.T, ipv6 bool) {
	p := begin(t, ipv6, byAddress("tcp", 80, "rr", 0, servers(1)...))
	segment := p.from("1").TCP(1000, 80).Numbers(100, 7)
	p.answers("an ACK", segment.ACK(), reset(" RST seq 7 ack 0"))
	p.answers("a FIN with ACK", segment.FIN().ACK(), reset(" RST seq 7 ack 0"))
	p.answers("a FIN", segment.FIN(), reset(" RST ACK seq 0 ack 113"))
	p.answers("a segment without flags", segment, reset(" RST ACK seq 0 ack 112"))
	p.goes("a reset", segment.RST(), nowhere)
	p.goes("a reset with ACK", segment.RST().ACK(), nowhere)
	p.goes("an ACK with a wrong checksum", segment.ACK().WrongChecksum(), nowhere)
	p.goes("a SYN with a reset", segment.SYN().RST(), nowhere)
	about := packettest.IP(p.vip, p.client("1")).TCP(80, 1000)
	p.goes("an error", packettest.IP(p.client("254"), p.vip).Unreachable(about), nowhere)
}

// playForgotten: a client with an assured template is let through to its server with
// what belongs to no connection.
func playForgotten(t *testing.T) {
	p := begin(t, false, byMark("rr", 300, "", servers(1, 1)...))
	p.goes("a SYN", p.from("1").TCP(1000, 80).SYN(), 2)
	stray := p.from("1").TCP(1001, 80).Numbers(5, 7).ACK()
	p.answers("an ACK of no connection", stray, reset(" RST seq 7 ack 0"))
	p.goes("an ACK", p.from("1").TCP(1000, 80).ACK(), 2)
	p.setApart("1")
	p.differs("an ACK of no connection", p.from("1").TCP(1002, 80).ACK(), returned, 2, forgotten)
	p.differs("a reset of none", p.from("1").TCP(1003, 80).RST(), nowhere, 2, forgotten)
	known := netip.AddrPortFrom(p.client("1"), 1002)
	if got := p.stage.ours.view(p).stateOf(known); got != "ESTABLISHED" {
		t.Errorf("xlvs has the connection in %q, want ESTABLISHED", got)
	}
}

// playHops: who has no hop left is told, whatever becomes of its packet.
func playHops(t *testing.T, ipv6 bool) {
	p := begin(t, ipv6, byAddress("tcp", 80, "rr", 0, servers(1)...))
	exceeded := icmpError(ipv6, "TimeExceeded(TTLExceeded)", "TimeExceeded(HopLimitExceeded)") + whole
	p.errs("a SYN", p.from("1").TCP(1000, 80).SYN().TTL(1), exceeded)
	p.goes("the next SYN", p.from("1").TCP(1000, 80).SYN().TTL(2), 1)
	p.errs("an ACK", p.from("1").TCP(1000, 80).ACK().TTL(1), exceeded)
	p.goes("the next ACK", p.from("1").TCP(1000, 80).ACK().TTL(2), 1)
	p.goes("a reset", p.from("1").TCP(1000, 80).RST(), 1)
}

// playTooBig: a packet that is longer than the way out allows.
func playTooBig(t *testing.T, ipv6 bool) {
	p := begin(t, ipv6, byMark("rr", 0, "", servers(1)...))
	ip, quoted := packet.IPv4Len, 548
	if ipv6 {
		ip, quoted = packet.IPv6Len, 1232
	}
	says := icmpError(ipv6, "DestinationUnreachable(FragmentationNeeded)", "PacketTooBig") +
		fmt.Sprintf(", MTU %d, quotes %d bytes", directorMTU, quoted)
	datagram := func(length int) packettest.Packet {
		return p.from("1").UDP(1000, 443).Payload(length - ip - packet.UDPLen - len(payload(0)))
	}
	segment := func(length int) packettest.Packet {
		return p.from("1").TCP(1000, 80).ACK().Payload(length - ip - packet.TCPLen - len(payload(0)))
	}
	p.goes("a datagram that just fits", datagram(directorMTU).DontFragment(), 1)
	p.errs("one that does not", datagram(tooLong).DontFragment(), says)
	p.goes("a SYN", p.from("1").TCP(1000, 80).SYN(), 1)
	p.goes("an ACK", p.from("1").TCP(1000, 80).ACK(), 1)
	p.goes("a segment that just fits", segment(directorMTU).DontFragment(), 1)
	p.errs("one that does not", segment(tooLong).DontFragment(), says)
	if !ipv6 {
		p.goes("a datagram that may be cut", datagram(tooLong), 1)
		p.goes("a segment that may be cut", segment(tooLong), 1)
	}
	p.goes("a segment that fits again", segment(directorMTU), 1)
}

// errs shows both directors a packet that is answered by an ICMP error of a router. IPVS
// says it in these words; xlvs sends it from its own address.
func (p *play) errs(what string, shown packettest.Packet, kernel string) {
	p.Helper()
	ours := strings.Replace(kernel, "VIP to", "director to", 1)
	p.differentAnswers(what, shown, kernel, ours, answersFrom)
}
