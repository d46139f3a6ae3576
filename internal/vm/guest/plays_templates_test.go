//go:build vmtest

package guest

import (
	"net/netip"
	"testing"
	"time"
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
	p.goes("a privileged port", p.from("1").TCP(1003, 1023).SYN(), nowhere)
	p.goes("port 20", p.from("1").TCP(1004, 20).SYN(), 3)
	p.goes("from port 20", p.from("1").TCP(20, 40001).SYN(), nowhere)
	p.goes("UDP", p.from("1").UDP(1000, 40000), nowhere)
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
	p := begin(t, false, with(byMark("rr", 4, "", servers(1, 1, 1)...), func(s *setup) { s.udp = 1 }))
	p.goes("a client", p.from("1").UDP(1000, 443), 3)
	p.until("its connection's end", func(v view) bool { return len(v.connections) == 0 })
	p.goes("the next, by its template", p.from("1").UDP(1001, 443), 3)
	p.until("its template's end", func(v view) bool { return len(v.connections) == 0 && len(v.templates) == 0 })
	p.goes("then it is scheduled anew", p.from("1").UDP(1002, 443), 2)
}

// playTemplateHeld: a template whose time is over ends with its last connection.
func playTemplateHeld(t *testing.T) {
	p := begin(t, false, with(byMark("rr", 2, "", servers(1, 1, 1)...), func(s *setup) { s.udp = 5 }))
	p.goes("a client", p.from("1").UDP(1000, 443), 3)
	time.Sleep(3 * time.Second) // beyond the template's time, within the connection's
	kernel, ours := p.views()
	if len(kernel.templates) != 1 || len(ours.templates) != 1 {
		t.Fatalf("a template with a connection did not stay: %v in ipvs, %v in xlvs", kernel.templates, ours.templates)
	}
	p.setApart("1") // IPVS has set the template's timer to 60 s
	p.differs("a connection after the template's time, while it has another",
		p.from("1").UDP(1001, 443), 3, 3, "the template is kept by its connection in both")
	await(t, "the template's end in xlvs", func() bool {
		return p.stage.ours.template(p, p.client("1")) == nil
	})
	p.differs("a connection after all connections' end", p.from("1").UDP(1002, 443), 3, 2,
		"IPVS looks only every 60 s whether a template that outlived its timer has connections (ip_vs_conn_expire), and keeps 60 s as its timeout; in xlvs it ends with them")
}
