//go:build vmtest

package guest

import (
	"flag"
	"fmt"
	"net/netip"
	"testing"
)

// TestPlays compares xlvs with kernel IPVS step by step.
func TestPlays(t *testing.T) {
	testStage = newStage(t)
	for _, play := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"mark", func(t *testing.T) { playMark(t, false) }},
		{"mark, IPv6", func(t *testing.T) { playMark(t, true) }},
		{"frames", func(t *testing.T) { playFrames(t, false) }},
		{"frames, IPv6", func(t *testing.T) { playFrames(t, true) }},
		{"states", playStates},
		{"states of templated connections", playTemplatedStates},
		{"reused ports", playReuse},
		{"forged reset", func(t *testing.T) { playForgedReset(t, true) }},
		{"forged reset and SYN", func(t *testing.T) { playForgedReset(t, false) }},
		{"sloppy", playSloppy},
		{"ICMP errors", func(t *testing.T) { playErrors(t, false) }},
		{"ICMP errors, IPv6", func(t *testing.T) { playErrors(t, true) }},
		{"lookup order", playLookupOrder},
		{"one packet", playOnePacket},

		{"no server", func(t *testing.T) { playNoServer(t, false) }},
		{"no server, IPv6", func(t *testing.T) { playNoServer(t, true) }},
		{"no connection", func(t *testing.T) { playNoConnection(t, false) }},
		{"no connection, IPv6", func(t *testing.T) { playNoConnection(t, true) }},
		{"forgotten connection", playForgotten},
		{"no hops left", func(t *testing.T) { playHops(t, false) }},
		{"no hops left, IPv6", func(t *testing.T) { playHops(t, true) }},
		{"too big", func(t *testing.T) { playTooBig(t, false) }},
		{"too big, IPv6", func(t *testing.T) { playTooBig(t, true) }},

		{"SCTP", func(t *testing.T) { playChunks(t, false, 0) }},
		{"SCTP, IPv6", func(t *testing.T) { playAssociation(t, true) }},
		{"SCTP, templates", func(t *testing.T) { playChunks(t, false, 300) }},
		{"SCTP, sloppy", func(t *testing.T) { playChunks(t, true, 0) }},
		{"SCTP, sloppy, ABORT", playAbortFirst},
		{"SCTP, reused ports", playChunksReuse},
		{"no association", func(t *testing.T) { playNoAssociation(t, false) }},
		{"no association, IPv6", func(t *testing.T) { playNoAssociation(t, true) }},

		{"mask /24", func(t *testing.T) { playMask(t, false, "255.255.255.0") }},
		{"mask /64, IPv6", func(t *testing.T) { playMask(t, true, "64") }},
		{"mask with holes", playMaskWithHoles},
		{"mask of nothing", playMaskOfNothing},
		{"template per port and protocol", playTemplateOfAddress},
		{"FTP", playFTP},
		{"all ports", playAllPorts},
		{"a template expires", playTemplateExpires},
		{"a template outlives its timer", playTemplateHeld},
		{"a template is assured", playAssured},

		{"quiesced", func(t *testing.T) { playQuiesced(t, false) }},
		{"quiesced, IPv6", func(t *testing.T) { playQuiesced(t, true) }},
		{"quiesced, expire_quiescent_template", playExpireQuiescent},
		{"removed and added again", playRemoved},
		{"removed, reused ports", func(t *testing.T) { playRemovedReuse(t, 0) }},
		{"removed, reused ports, templates", func(t *testing.T) { playRemovedReuse(t, 300) }},
		{"removed, expire_nodest_conn", playExpireNoDest},
		{"quiesced, expire_nodest_conn", playQuiescedExpireNoDest},
		{"thresholds", playThresholds},
		{"thresholds and templates", playPersistentThresholds},
	} {
		t.Run(play.name, play.run)
	}
	for _, name := range []string{"rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "lblc", "lblcr", "fo", "ovf"} {
		t.Run("scheduler "+name, func(t *testing.T) { playScheduler(t, name) })
	}
	if run := flag.Lookup("test.run").Value.String(); run == "" || run == t.Name() {
		testStage.checkShown(t)
	}
}

// byMark is a setup of one service by mark, which takes TCP of ports 80 and 443
// and UDP of port 443.
func byMark(scheduler string, persistence int, mask string, reals ...server) func(netip.Addr, uint32) setup {
	return func(vip netip.Addr, mark uint32) setup {
		return setup{
			marks: []rule{
				{mark: mark, protocol: "tcp", vip: vip, ports: []string{"80", "443"}},
				{mark: mark, protocol: "udp", vip: vip, ports: []string{"443"}},
			},
			services: []virtual{{
				mark: mark, ipv6: vip.Is6(), scheduler: scheduler, persistence: persistence, mask: mask, servers: reals,
			}},
		}
	}
}

// byAddress is a setup of one service by address and port.
func byAddress(protocol string, port uint16, scheduler string, persistence int, reals ...server) func(netip.Addr, uint32) setup {
	return func(vip netip.Addr, _ uint32) setup {
		return setup{services: []virtual{{
			protocol: protocol, vip: vip, port: port, scheduler: scheduler, persistence: persistence, servers: reals,
		}}}
	}
}

// serverless is a setup of services without servers on port 80, one for each protocol.
func serverless(protocols ...string) func(netip.Addr, uint32) setup {
	return func(vip netip.Addr, _ uint32) (s setup) {
		for _, protocol := range protocols {
			v := virtual{protocol: protocol, vip: vip, port: 80, scheduler: "rr"}
			s.services = append(s.services, v)
		}
		return s
	}
}

// with changes what a setup begins with.
func with(make func(netip.Addr, uint32) setup, edit func(*setup)) func(netip.Addr, uint32) setup {
	return func(vip netip.Addr, mark uint32) setup {
		s := make(vip, mark)
		edit(&s)
		return s
	}
}

// playScheduler opens connections, ends some, and opens more.
func playScheduler(t *testing.T, name string) {
	// One by one, as ipvsadm adds them: where wrr's round begins depends on it.
	p := begin(t, false, byAddress("tcp", 80, name, 0, servers(3)...))
	p.add(2, 1)
	p.add(3, 2)
	open := func(from, to int) {
		for i := from; i < to && !t.Failed(); i++ {
			p.alike(fmt.Sprintf("connection %d", i+1), p.from(fmt.Sprint(10+i)).TCP(1000, 80).SYN())
		}
		p.compare(fmt.Sprintf("after %d connections", to))
	}
	open(0, 9)
	for i := 0; i < 9; i += 2 {
		p.alike("a reset", p.from(fmt.Sprint(10+i)).TCP(1000, 80).RST())
		p.alike("an ACK", p.from(fmt.Sprint(11+i)).TCP(1000, 80).ACK())
	}
	p.compare("after resets")
	open(20, 28)
	if name == "wrr" {
		p.documented("a change of servers", roundGoesOn) // from here on they may choose differently
		return
	}
	p.weight(1, 0)
	open(40, 46)
	p.weight(3, 5)
	p.weight(1, 1)
	open(60, 70)
	p.remove(2)
	p.add(4, 2)
	open(80, 90)
}
