//go:build vmtest

package guest

import (
	"net/netip"
	"testing"
)

// playQuiesced: weight 0 keeps clients with a template, gets no new ones.
func playQuiesced(t *testing.T, ipv6 bool) {
	p := begin(t, ipv6, byMark("rr", 300, "", servers(1, 1)...))
	p.goes("a client", p.from("1").TCP(1000, 80).SYN(), 2)
	p.goes("its ACK", p.from("1").TCP(1000, 80).ACK(), 2)
	p.weight(2, 0)
	p.goes("its connection goes on", p.from("1").TCP(1000, 80).ACK(), 2)
	p.goes("its new connection, by its template", p.from("1").TCP(1001, 80).SYN(), 2)
	p.goes("a new client", p.from("2").TCP(1000, 80).SYN(), 1)
	p.goes("another new client", p.from("3").TCP(1000, 80).SYN(), 1)
	p.weight(1, 0)
	p.answers("a new client without servers", p.from("4").TCP(1000, 80).SYN(), noServer(ipv6))
	p.weight(2, 1)
	p.goes("a new client after the return", p.from("4").TCP(1000, 80).SYN(), 2)
}

// playExpireQuiescent: with the switch, templates of a server of weight 0 are void.
func playExpireQuiescent(t *testing.T) {
	p := begin(t, false, with(byMark("rr", 300, "", servers(1, 1)...), func(s *setup) { s.expireQuiescent = true }))
	p.goes("a client", p.from("1").TCP(1000, 80).SYN(), 2)
	p.goes("its ACK", p.from("1").TCP(1000, 80).ACK(), 2)
	p.weight(2, 0)
	p.goes("its connection goes on", p.from("1").TCP(1000, 80).ACK(), 2)
	p.goes("its new connection is scheduled anew", p.from("1").TCP(1001, 80).SYN(), 1)
	p.assured("a template that moved", "1", false, true)
	p.documented("a template that moved", staysKnown)
	p.weight(2, 1)
	p.goes("and the template is the new server's", p.from("1").TCP(1002, 80).SYN(), 1)
	p.goes("while the first connection stays", p.from("1").TCP(1000, 80).ACK(), 2)
}

// playRemoved: packets of a removed server's connections are dropped, and go on
// when it is back; its templates are void.
func playRemoved(t *testing.T) {
	p := begin(t, false, byMark("rr", 300, "", servers(1, 1)...))
	p.goes("a client", p.from("1").TCP(1000, 80).SYN(), 2)
	p.goes("its ACK", p.from("1").TCP(1000, 80).ACK(), 2)
	p.goes("a second client", p.from("2").TCP(1000, 80).SYN(), 1)
	p.goes("a third client", p.from("3").TCP(1000, 80).SYN(), 2)
	p.remove(2)
	p.goes("its connection's packets are lost", p.from("1").TCP(1000, 80).ACK(), nowhere)
	p.goes("a SYN of its ports too", p.from("1").TCP(1000, 80).SYN(), nowhere)
	p.goes("its new connection is scheduled anew", p.from("1").TCP(1001, 80).SYN(), 1)
	p.add(2, 1)
	p.goes("the old connection goes on", p.from("1").TCP(1000, 80).ACK(), 2)
	p.goes("a new one is by the new template", p.from("1").TCP(1002, 80).SYN(), 1)
	p.goes("a client that was away meanwhile", p.from("3").TCP(1001, 80).SYN(), 2)
}

// playExpireNoDest: with the switch, connections of a removed server are forgotten.
func playExpireNoDest(t *testing.T) {
	p := begin(t, false, with(byMark("rr", 0, "", servers(1, 1)...), func(s *setup) { s.expireNoDest = true }))
	p.goes("a client", p.from("1").TCP(1000, 80).SYN(), 2)
	p.goes("its ACK", p.from("1").TCP(1000, 80).ACK(), 2)
	p.goes("a second client", p.from("2").TCP(1000, 80).SYN(), 1)
	p.goes("a third client's datagram", p.from("3").UDP(1000, 443), 2)
	p.setApart("1", "3")
	p.remove(2)
	third := netip.AddrPortFrom(p.client("3"), 1000)
	await(t, "the end of all its connections in ipvs", func() bool {
		return p.stage.kernel.view(p).stateOf(third) == ""
	})
	if p.stage.ours.view(p).stateOf(third) == "" {
		t.Error("xlvs has forgotten a connection without a packet")
	}
	p.documented("connections of a removed server", oneByOne)
	p.answers("a segment of the lost connection", p.from("1").TCP(1000, 80).Numbers(5, 7).ACK(), reset(" RST seq 7 ack 0"))
	p.goes("a SYN of its ports", p.from("1").TCP(1000, 80).SYN(), 1)
	p.goes("the datagram's next", p.from("3").UDP(1000, 443), 1)
	p.goes("the second client goes on", p.from("2").TCP(1000, 80).ACK(), 1)
}

// playQuiescedExpireNoDest: with that switch, a SYN that meets an old connection of
// a quiesced server is scheduled anew.
func playQuiescedExpireNoDest(t *testing.T) {
	p := begin(t, false, with(byMark("rr", 0, "", servers(1, 1)...), func(s *setup) { s.expireNoDest = true }))
	p.goes("a client", p.from("1").TCP(1000, 80).SYN(), 2)
	p.goes("its ACK", p.from("1").TCP(1000, 80).ACK(), 2)
	p.goes("its reset", p.from("1").TCP(1000, 80).RST(), 2)
	p.goes("a second client", p.from("2").TCP(1000, 80).SYN(), 1)
	p.goes("a third client", p.from("3").TCP(1000, 80).SYN(), 2)
	p.weight(2, 0)
	p.goes("the third client's ACK", p.from("3").TCP(1000, 80).ACK(), 2)
	p.goes("a SYN of the first client's ports", p.from("1").TCP(1000, 80).SYN(), 1)
}

// playThresholds: a server at its upper threshold gets no new clients until it is
// below the lower one.
func playThresholds(t *testing.T) {
	p := begin(t, false, with(byAddress("udp", 53, "rr", 0,
		server{number: 1, weight: 1, upper: 2, lower: 2}, server{number: 2, weight: 1, upper: 3}), func(s *setup) { s.udp = 10 }))
	p.goes("1", p.from("1").UDP(1000, 53), 2)
	p.goes("2", p.from("2").UDP(1000, 53), 1)
	p.goes("3", p.from("3").UDP(1000, 53), 2)
	p.goes("4: server 1 is full", p.from("4").UDP(1000, 53), 1)
	p.goes("5: server 2 is full", p.from("5").UDP(1000, 53), 2)
	p.answers("6: none is left", p.from("6").UDP(1000, 53), noServer(false))
	p.goes("a known connection goes on", p.from("1").UDP(1000, 53), 2)
	p.until("the connections' end", func(v view) bool { return len(v.connections) == 0 })
	p.goes("7: both are back", p.from("7").UDP(1000, 53), 1)
	p.server(1, func(s *server) { s.upper, s.lower = 1, 0 })
	p.goes("8", p.from("8").UDP(1000, 53), 2)
	p.goes("9: server 1 is full by the new threshold", p.from("9").UDP(1000, 53), 2)
	p.server(1, func(s *server) { s.upper = 0 })
	p.goes("10: it has none now", p.from("10").UDP(1000, 53), 1)
}

// playPersistentThresholds: templates ignore thresholds.
func playPersistentThresholds(t *testing.T) {
	p := begin(t, false, byMark("rr", 300, "", server{number: 1, weight: 1}, server{number: 2, weight: 1, upper: 1}))
	p.goes("a client", p.from("1").TCP(1000, 80).SYN(), 2)
	p.goes("another: server 2 is full", p.from("2").TCP(1000, 80).SYN(), 1)
	p.goes("another still", p.from("3").TCP(1000, 80).SYN(), 1)
	p.goes("the first client's next connection, by its template", p.from("1").TCP(1001, 80).SYN(), 2)
}

// playRemovedReuse: a packet that begins a connection over one that has ended is
// scheduled anew, also when the old one's server was removed. Under persistence, and
// over one that has not ended, it is lost with the server.
func playRemovedReuse(t *testing.T, persistence int) {
	p := begin(t, false, byAddress("tcp", 80, "rr", persistence, servers(1, 1)...))
	over := p.from("1").TCP(1000, 80)  // ends by a reset
	timed := p.from("3").TCP(1000, 80) // ends straight after its SYN
	half := p.from("5").TCP(1000, 80)  // half closed
	p.goes("a client", over.SYN(), 2)
	p.goes("between", p.from("2").TCP(1000, 80).SYN(), 1)
	p.goes("another", timed.SYN(), 2)
	p.goes("between", p.from("4").TCP(1000, 80).SYN(), 1)
	p.goes("a third", half.SYN(), 2)
	p.goes("the first client's ACK", over.ACK(), 2)
	p.goes("its reset", over.RST(), 2)
	p.goes("the other's FIN", timed.FIN(), 2)
	p.goes("the third's ACK", half.ACK(), 2)
	p.goes("its FIN", half.FIN().ACK(), 2)
	p.remove(2)
	want := outcome(1)
	if persistence > 0 {
		want = nowhere
	}
	p.goes("an ACK over CLOSE", p.from("1").TCP(1000, 80).ACK(), nowhere)
	p.goes("a SYN over CLOSE", over.SYN(), want)
	p.goes("a SYN over TIME_WAIT", timed.SYN(), want)
	p.goes("a SYN over FIN_WAIT", half.SYN(), nowhere)
	p.goes("a new connection", p.from("1").TCP(1001, 80).SYN(), 1)
}
