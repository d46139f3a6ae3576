package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/xlvs/xlvs/control"
)

// restartPolicy has a service with persistence and one without.
func restartPolicy(servers string) string {
	return fmt.Sprintf(`
marks:
  - {mark: 7, match: {protocol: [udp, tcp], destination: %[1]s, ports: 7}}
services:
  - fwmark: 7
    scheduler: wrr
    expire_nodest: true
    persistence: {timeout: 10m, mask: 24}
    servers: %[2]s
  - address: %[1]s
    protocol: udp
    port: 8
    scheduler: rr
    expire_nodest: true
    servers: %[2]s
`, vip, servers)
}

// meet sends a numbered datagram of each flow and returns whom they met.
func (b *bed) meet(flows []flow) map[flow]byte {
	b.t.Helper()
	w := b.wires[0]
	w.take()
	for i, f := range flows {
		w.sendPacket(f.udp(uint32(i)))
	}
	eventually(b.t, "every flow's datagram arrives", func() error {
		if w.count() < len(flows) {
			return fmt.Errorf("%d of %d; %v", w.count(), len(flows), nonZero(b.status().Frames))
		}
		return nil
	})
	met := map[flow]byte{}
	for _, a := range w.take() {
		met[flows[a.number]] = a.server
	}
	return met
}

func restartFlows() (flows []flow) {
	for c := range 48 {
		for port := range 3 {
			flows = append(flows, flowOf(c/2<<8+c, 1000+port, udpTo(7)), flowOf(c/2<<8+c, 1000+port, udpTo(8)))
		}
	}
	return flows
}

const allServers = "[{address: 10.0.0.11}, {address: 10.0.0.12}, {address: 10.0.0.13}]"

// TestKillAndStart kills the director and starts it with the same configuration.
func TestKillAndStart(t *testing.T) {
	t.Parallel()
	b := newBed(t, 2)
	must(t, b.inside.AddAddr("lo", netip.MustParsePrefix(vip+"/32")))
	config := b.config(restartPolicy(allServers))
	b.start(config)
	flows := restartFlows()
	met := b.meet(flows)
	connections, templates, steering := b.connections(), b.templates(), b.steeringOn("eth0")
	b.kill()

	// The host is reachable, and clients of the service wait: nobody answers them
	// that their port is unreachable.
	b.kernelAnswers("10.0.0.1")
	b.kernelAnswers(vip)
	b.wires[0].sendPacket(flowOf(1, 1000, udpTo(7)).udp(0))
	b.wires[0].sendPacket(flowOf(1, 1000, udpTo(7)).tcp(0).SYN())
	b.wires[0].sendPacket(flowOf(1, 1000, udpTo(9)).udp(0).From(serverMAC(50))) // not ours: this one is answered
	b.kernelAnswers(vip)
	if b.wires[0].count() > 0 || len(b.wires[0].takeOthers(isFrom(vip, 6))) > 0 {
		t.Error("a client was answered while no director was there")
	}

	b.start(config)
	if now := b.steeringOn("eth0"); now != steering {
		t.Errorf("steering was %s, is %s", steering, now)
	}
	sameDestinations(t, connections, b.connections(), nil)
	sameTemplates(t, templates, b.templates(), nil)
	for f, server := range b.meet(flows) {
		if met[f] != server {
			t.Errorf("%s to %s met server %d, now %d", f.client, f.virtual, met[f], server)
		}
	}
	b.stop()
}

// sameDestinations wants every connection that was, but for those of a server
// that is gone.
func sameDestinations(t *testing.T, was, now map[string]control.Connection, gone func(netip.Addr) bool) {
	t.Helper()
	if len(was) == 0 {
		t.Fatal("there were no connections")
	}
	for key, c := range was {
		if n, ok := now[key]; gone != nil && gone(c.Destination.Addr()) {
			continue
		} else if !ok || n.Destination != c.Destination || n.State != c.State {
			t.Errorf("connection %s: was %+v, is %+v", key, c, n)
		}
	}
}

func sameTemplates(t *testing.T, was, now map[string]control.Template, gone func(netip.Addr) bool) {
	t.Helper()
	if len(was) == 0 {
		t.Fatal("there were no templates")
	}
	for key, p := range was {
		if n, ok := now[key]; gone != nil && gone(p.Destination.Addr()) {
			continue
		} else if !ok || n.Destination != p.Destination || n.Connections != p.Connections {
			t.Errorf("template %s: was %+v, is %+v", key, p, n)
		}
	}
}

// TestKillAndStartEdited edits the configuration while no director runs: one
// server is gone, another is new, order and weights are others.
func TestKillAndStartEdited(t *testing.T) {
	t.Parallel()
	b := newBed(t, 2)
	b.start(b.config(restartPolicy(allServers)))
	flows := restartFlows()
	met := b.meet(flows)
	connections, templates := b.connections(), b.templates()
	b.kill()

	b.start(b.config(restartPolicy("[{address: 10.0.0.14, weight: 3}, {address: 10.0.0.13, weight: 5}, {address: 10.0.0.11, weight: 2}]")))
	gone := func(a netip.Addr) bool { return a == netip.MustParseAddr("10.0.0.12") }
	sameDestinations(t, connections, b.connections(), gone)
	sameTemplates(t, templates, b.templates(), gone)
	now := b.meet(flows)
	moved, networks := 0, map[netip.Prefix]byte{}
	for f, server := range now {
		switch {
		case met[f] == 12:
			moved++
			if server == 12 || server == 0 {
				t.Errorf("%s to %s is still with server %d", f.client, f.virtual, server)
			}
		case met[f] != server:
			t.Errorf("%s to %s met server %d, now %d", f.client, f.virtual, met[f], server)
		}
		if f.virtual.Port() == 7 {
			if was, ok := networks[networkOf(f.client.Addr())]; ok && was != server {
				t.Errorf("clients of %s meet servers %d and %d", networkOf(f.client.Addr()), was, server)
			}
			networks[networkOf(f.client.Addr())] = server
		}
	}
	if moved == 0 {
		t.Error("nobody was with the server that went: nothing was shown")
	}
	b.stop()
}

// TestKillAndStartWithOtherTables: a table of another size is not taken over,
// nor thrown away before somebody says so.
func TestKillAndStartWithOtherTables(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	config := b.config(restartPolicy(allServers))
	b.start(config)
	flows := restartFlows()
	met := b.meet(flows)
	b.kill()
	must(t, os.Remove(b.socket())) // a dead one, which every start removes
	before := b.hostState()

	larger := strings.Replace(config, "connections: 65536", "connections: 131072", 1)
	wantTexts(t, "another size", b.refused(larger), "tables", "IPv4 connections", "--fresh-tables")
	if after := b.hostState(); after != before {
		t.Errorf("the refused start changed the host from\n%s\nto\n%s", before, after)
	}
	b.kernelAnswers("10.0.0.1")

	b.start(config)
	for f, server := range b.meet(flows) {
		if met[f] != server {
			t.Errorf("%s to %s met server %d, now %d", f.client, f.virtual, met[f], server)
		}
	}
	steering := b.steeringOn("eth0")
	b.kill()
	b.start(larger, "fresh-tables")
	if n := len(b.connections()) + len(b.templates()); n != 0 {
		t.Errorf("fresh tables have %d entries", n)
	}
	if now := b.steeringOn("eth0"); now != steering {
		t.Errorf("steering was %s, is %s", steering, now)
	}
	b.meet(flows)
	b.stop()
}

// TestKillAndStartWithFewerInterfaces takes the program off an interface that the
// new configuration does not name.
func TestKillAndStartWithFewerInterfaces(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1, 1)
	before := b.hostState()
	b.start(b.config(loadPolicy(1)))
	b.probe(b.wires[0], b.wires[1], flowOf(1, 1000, udpTo(7)))
	b.kill()
	b.interfaces = "[{name: eth1}]"
	b.start(b.config(loadPolicy(1)))
	b.probe(b.wires[1], b.wires[1], flowOf(1, 1000, udpTo(7)))
	eth0, err := b.inside.Netlink().LinkByName("eth0")
	must(t, err)
	if x := eth0.Attrs().Xdp; x != nil && x.Attached {
		t.Errorf("eth0 still has program %d", x.ProgId)
	}
	b.stop()
	if after := b.hostState(); after != before {
		t.Errorf("the host was\n%s\nand is\n%s", before, after)
	}
}

// TestKillKeepsTCP kills the director under TCP connections: they wait, and go on.
func TestKillKeepsTCP(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 11, 12)
	config := l.config(restartPolicyTCP)
	l.start(config)
	var sessions []*session
	for range 6 {
		sessions = append(sessions, l.dial())
	}
	for range 2 {
		l.kill()
		echoes := make(chan error, len(sessions))
		for i, s := range sessions {
			go func() { echoes <- s.echo(fmt.Sprintf("session %d goes on", i)) }()
		}
		l.start(config)
		for range sessions {
			if err := <-echoes; err != nil {
				t.Error(err)
			}
		}
	}
	l.stop()
}

const restartPolicyTCP = `
services:
  - {address: 10.9.0.200, protocol: tcp, port: 5000, scheduler: rr, servers: [{address: 10.9.0.11}, {address: 10.9.0.12}]}
`
