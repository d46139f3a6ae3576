package e2e

import (
	"fmt"
	"testing"
)

// TestNothingLeaks flaps links, replaces interfaces and reloads, and counts what
// the process has open. That no goroutine is left is seen at every stop.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	b := newBed(t, 2, 2)
	policy := func(n int) string {
		return b.config(fmt.Sprintf("%s  - {address: 203.0.113.77, protocol: tcp, port: %d, servers: [{address: 10.0.0.11, weight: %d}]}\n",
			loadPolicy(1), 1+n, n%3))
	}
	b.start(policy(0))
	flow := flowOf(1, 1000, udpTo(7))
	server := b.probe(b.wires[0], b.wires[1], flow)
	before := b.descriptors()
	same := func(what string) {
		t.Helper()
		eventually(t, "after "+what+" as many descriptors are open as before", func() error {
			if now := b.descriptors(); now != before {
				return fmt.Errorf("%d, not %d", now, before)
			}
			return nil
		})
	}
	for n := range 50 {
		name := fmt.Sprintf("eth%d", n%2)
		must(t, b.inside.Down(name))
		must(t, b.inside.Up(name))
		if !b.reload(policy(n + 1)) {
			t.Fatalf("reload %d was refused", n)
		}
	}
	same("50 flaps and reloads")
	for i := range 2 {
		must(t, b.inside.Delete(fmt.Sprintf("eth%d", i)))
		b.plug(t, i)
		b.recovered(b.wires[0], b.wires[1], flow, server)
		same("an interface's replacement")
	}
	for range 20 {
		b.reload("")
		b.connections()
	}
	same("refused reloads and listings")
	b.stop()
}
