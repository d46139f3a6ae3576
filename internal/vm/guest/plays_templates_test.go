//go:build vmtest

package guest

import (
	"net/netip"
	"testing"
)

// playMask: neighbours share a template.
func playMask(t *testing.T, ipv6 bool, mask string) {
	p := begin(t, ipv6, byMark("rr", 300, mask, servers(1, 1, 1)...))
	p.goes("a client", p.from("7.1").TCP(1000, 80).SYN(), 3)
	p.goes("its neighbour", p.from("7.200").TCP(1000, 443).SYN(), 3)
	p.goes("a client elsewhere", p.from("8.1").TCP(1000, 80).SYN(), 2)
	p.goes("the neighbour's datagram", p.from("7.201").UDP(1000, 443), 3)
}

// playMaskWithHoles: a mask need not be contiguous.
func playMaskWithHoles(t *testing.T) {
	p := begin(t, false, byMark("rr", 300, "255.255.0.255", servers(1, 1, 1)...))
	p.goes("a client", p.from("7.1").TCP(1000, 80).SYN(), 3)
	p.goes("one that differs in the hole", p.from("9.1").TCP(1000, 80).SYN(), 3)
	p.goes("one that differs outside of it", p.from("7.2").TCP(1000, 80).SYN(), 2)
}

// playMaskOfNothing: all clients share one template.
func playMaskOfNothing(t *testing.T) {
	p := begin(t, false, byMark("rr", 300, "0.0.0.0", servers(1, 1, 1)...))
	p.goes("a client", p.from("7.1").TCP(1000, 80).SYN(), 3)
	p.goes("another", p.from("200.99").TCP(1000, 80).SYN(), 3)
}

// playTemplateOfAddress: without a mark there is a template for each port and protocol.
func playTemplateOfAddress(t *testing.T) {
	p := begin(t, false, func(vip netip.Addr, _ uint32) setup {
		service := func(protocol string, port uint16) virtual {
			return virtual{protocol: protocol, vip: vip, port: port, scheduler: "rr", persistence: 300, servers: servers(1, 1)}
		}
		return setup{services: []virtual{service("tcp", 80), service("tcp", 443), service("udp", 443)}}
	})
	p.goes("port 80", p.from("1").TCP(1000, 80).SYN(), 2)
	p.goes("port 80 again", p.from("1").TCP(1001, 80).SYN(), 2)
	p.goes("another client", p.from("2").TCP(1000, 443).SYN(), 2)
	p.goes("port 443", p.from("1").TCP(1002, 443).SYN(), 1)
	p.goes("UDP", p.from("1").UDP(1003, 443), 2)
	p.goes("UDP, another client", p.from("2").UDP(1003, 443), 1)
}

// playFTP: data connections follow the control connection.
func playFTP(t *testing.T) {
	p := begin(t, false, byAddress("tcp", 21, "rr", 300, servers(1, 1, 1)...))
	p.goes("control", p.from("1").TCP(1000, 21).SYN(), 3)
	p.goes("another client's control", p.from("2").TCP(1000, 21).SYN(), 2)
	p.goes("passive data", p.from("1").TCP(1001, 40000).SYN(), 3)
	p.goes("passive data of another", p.from("2").TCP(1001, 1024).SYN(), 2)
	p.goes("data before control", p.from("3").TCP(1001, 40000).SYN(), 1)
	p.goes("control then", p.from("3").TCP(1002, 21).SYN(), 1)
	p.goes("a privileged port", p.from("1").TCP(1003, 1023).SYN(), returned)
	p.goes("port 20", p.from("1").TCP(1004, 20).SYN(), 3)
	p.goes("from port 20", p.from("1").TCP(20, 40001).SYN(), returned)
	p.goes("UDP", p.from("1").UDP(1000, 40000), returned)
}

// playAllPorts: a service of port 0 keeps a client on one server on every port,
// for each protocol.
func playAllPorts(t *testing.T) {
	p := begin(t, false, func(vip netip.Addr, _ uint32) setup {
		service := func(protocol string) virtual {
			return virtual{protocol: protocol, vip: vip, scheduler: "rr", persistence: 300, servers: servers(1, 1, 1)}
		}
		return setup{services: []virtual{service("tcp"), service("udp")}}
	})
	p.goes("a client", p.from("1").TCP(1000, 80).SYN(), 3)
	p.goes("another port", p.from("1").TCP(1000, 8080).SYN(), 3)
	p.goes("another client", p.from("2").TCP(1000, 8080).SYN(), 2)
	p.goes("the first client's UDP", p.from("1").UDP(1000, 53), 3)
	p.goes("the second client's UDP", p.from("2").UDP(1000, 54), 2)
	p.goes("and again", p.from("2").UDP(1000, 55), 2)
}

// playTemplateExpires: a template that has neither connections nor time is gone.
func playTemplateExpires(t *testing.T) {
	p := begin(t, false, with(byMark("rr", 6, "", servers(1, 1, 1)...), func(s *setup) { s.udp = 1 }))
	p.goes("a client", p.from("1").UDP(1000, 443), 3)
	p.until("its connection's end", func(v view) bool { return len(v.connections) == 0 })
	p.goes("the next, by its template", p.from("1").UDP(1001, 443), 3)
	p.until("its template's end", func(v view) bool { return len(v.connections) == 0 && len(v.templates) == 0 })
	p.goes("then it is scheduled anew", p.from("1").UDP(1002, 443), 2)
}

// playTemplateHeld: a template whose time is over ends with its last connection.
func playTemplateHeld(t *testing.T) {
	p := begin(t, false, with(byMark("rr", 2, "", servers(1, 1, 1, 1)...),
		func(s *setup) { s.udp = 8 }))
	p.goes("a client", p.from("1").UDP(1000, 443), 4)
	p.goes("its second datagram", p.from("1").UDP(1000, 443), 4)
	p.goes("a client that sends one only", p.from("2").UDP(1000, 443), 3)
	p.setApart("1", "2") // IPVS sets the template's timer to 60 s
	await(t, "the template's end in xlvs", func() bool { return p.ourTemplate("2") == nil })
	if k, o := p.kernelTemplate("1"), p.ourTemplate("1"); k == nil || o == nil {
		t.Fatalf("a template with a connection did not stay: %v in ipvs, %v in xlvs", k, o)
	}
	p.goes("a connection after the template's time", p.from("1").UDP(1001, 443), 4)
	p.differs("one after that of one datagram", p.from("2").UDP(1001, 443), 3, 2, oneHoldsNot)
	await(t, "the template's end in xlvs", func() bool { return p.ourTemplate("1") == nil })
	p.differs("one after all connections' end", p.from("1").UDP(1002, 443), 4, 1, templateEnds)
}

// kernelTemplate and ourTemplate are a client's template, nil if it has none.
func (p *play) kernelTemplate(client string) *template {
	p.Helper()
	v := p.stage.kernel.view(p)
	return v.templateOf(p.client(client))
}

func (p *play) ourTemplate(client string) *template {
	p.Helper()
	v := p.stage.ours.view(p)
	return v.templateOf(p.client(client))
}

// playAssured: what tells that a client is no invented address.
func playAssured(t *testing.T) {
	p := begin(t, false, byMark("rr", 300, "", servers(1)...))
	p.goes("a SYN", p.from("1").TCP(1000, 80).SYN(), 1)
	p.assured("a SYN", "1", false, false)
	p.goes("an ACK", p.from("1").TCP(1000, 80).ACK(), 1)
	p.assured("an ACK", "1", true, true)
	p.goes("a SYN", p.from("2").TCP(1000, 80).SYN(), 1)
	p.goes("a SYN of another port", p.from("2").TCP(1001, 80).SYN(), 1)
	p.assured("two SYNs", "2", false, false)
	p.goes("a datagram", p.from("3").UDP(1000, 443), 1)
	p.assured("a datagram", "3", false, false)
	p.goes("another", p.from("3").UDP(1000, 443), 1)
	p.assured("two datagrams", "3", false, true)
	p.documented("two of something", assuredSooner)
}

// assured wants a client's template to be assured, or not, in each director.
func (p *play) assured(what, client string, kernel, ours bool) {
	p.Helper()
	k, o := p.kernelTemplate(client), p.ourTemplate(client)
	if k == nil || o == nil {
		p.Errorf("%s: no template: %v in ipvs, %v in xlvs", what, k, o)
	} else if k.assured != kernel || o.assured != ours {
		p.Errorf("%s: assured %t in ipvs, %t in xlvs, want %t and %t", what, k.assured, o.assured, kernel, ours)
	}
}
