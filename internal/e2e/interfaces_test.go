package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestTwoInterfaces has clients on one interface and servers on the other, whose
// sockets share the memory of their frames.
func TestTwoInterfaces(t *testing.T) {
	for name, interfaces := range map[string]string{
		"clients' first": "[{name: eth0}, {name: eth1}]",
		"servers' first": "[{name: eth1}, {name: eth0}]",
		"generic":        "[{name: eth0, mode: generic}, {name: eth1, mode: generic}]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, 2, 2)
			b.interfaces = interfaces
			b.start(b.config(loadPolicy(1)))
			load(t, b, b.wires[0], b.wires[1])
			if n := b.wires[0].count(); n > 0 {
				t.Errorf("%d frames went back to the clients", n)
			}
			b.stop()
		})
	}
}

// TestUnequalQueues: a frame leaves by the queue that it came by, so both
// interfaces need it.
func TestUnequalQueues(t *testing.T) {
	t.Parallel()
	b := newBed(t, 2, 1)
	said := b.refused(b.config(loadPolicy(1)))
	for _, want := range []string{"eth0", "eth1", "ethtool -L", "different queues"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is missing from %q", want, said)
		}
	}
	b.interfaces = "[{name: eth0, queues: [0]}, {name: eth1}]"
	b.start(b.config(loadPolicy(1)))
	eventually(t, "what comes by the served queue is forwarded", func() error {
		for port := range 32 { // one of them by queue 0
			b.wires[0].sendPacket(flowOf(1, 1000+port, udpTo(7)).udp(0))
		}
		if b.wires[1].count() == 0 {
			return fmt.Errorf("nothing arrived: %v", b.status().Steering)
		}
		return nil
	})
	b.stop()
}
