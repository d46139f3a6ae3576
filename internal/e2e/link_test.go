package e2e

import (
	"fmt"
	"testing"
)

// TestLinkDownAndUp takes one interface of two down and up again.
func TestLinkDownAndUp(t *testing.T) {
	t.Parallel()
	b := newBed(t, 2, 2)
	b.start(b.config(loadPolicy(1)))
	flow := flowOf(1, 1000, udpTo(7))
	server := b.probe(b.wires[0], b.wires[1], flow)

	must(t, b.inside.Down("eth0"))
	eventually(t, "the loss is logged", func() error { return b.log.has("level=WARN", "link changed", "eth0", "up=false") })
	// The other interface goes on: its servers are clients here.
	if got := b.probe(b.wires[1], b.wires[1], flow); got != server {
		t.Errorf("the client moved from server %d to %d", server, got)
	}
	must(t, b.inside.Up("eth0"))
	b.recovered(b.wires[0], b.wires[1], flow, server)

	// The servers' side: nothing can be sent, and all is well afterwards.
	must(t, b.inside.Down("eth1"))
	eventually(t, "the loss is logged", func() error { return b.log.has("level=WARN", "link changed", "eth1", "up=false") })
	must(t, b.inside.Up("eth1"))
	b.neighbours6(t, 1)
	b.recovered(b.wires[0], b.wires[1], flow, server)
	eventually(t, "the return is logged", func() error { return b.log.has("link changed", "eth1", "up=true") })
	b.stop()
}

// TestPeerDown has the cable pulled: no carrier, but the interface stays up.
func TestPeerDown(t *testing.T) {
	t.Parallel()
	b := newBed(t, 2, 2)
	b.start(b.config(loadPolicy(1)))
	flow := flowOf(1, 1000, udpTo(7))
	server := b.probe(b.wires[0], b.wires[1], flow)
	for i, far := range []string{"wire0", "wire1"} {
		must(t, b.outside.Down(far))
		for range 100 { // into the void
			b.wires[1-i].trySend(b.wires[1-i].frameOf(flow.udp(0))) //nolint:errcheck // as it may be
		}
		must(t, b.outside.Up(far))
		b.recovered(b.wires[0], b.wires[1], flow, server)
	}
	b.stop()
}

// recovered waits until all sockets are up and the flow is forwarded, to the
// server that it had.
func (b *bed) recovered(in, out *wire, f flow, server byte) {
	b.t.Helper()
	want := 0
	for _, n := range b.queues {
		want += n
	}
	eventually(b.t, "all sockets are up", func() error { return b.socketsUp(want) })
	if got := b.probe(in, out, f); got != server {
		b.t.Errorf("the client moved from server %d to %d", server, got)
	}
}

// TestInterfaceComesBack deletes an interface and makes one of the same name.
func TestInterfaceComesBack(t *testing.T) {
	for i, which := range []string{"clients'", "servers'"} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, 2, 2)
			b.start(b.config(loadPolicy(1)))
			flow := flowOf(1, 1000, udpTo(7))
			server := b.probe(b.wires[0], b.wires[1], flow)
			name := fmt.Sprintf("eth%d", i)
			before, err := b.inside.Index(name)
			must(t, err)

			must(t, b.inside.Delete(name))
			eventually(t, "the loss is logged", func() error { return b.log.has("level=WARN", "interface lost", name) })
			eventually(t, "only the other interface has sockets", func() error { return b.socketsUp(2) })
			if i == 0 { // what comes by the other interface is still forwarded
				if got := b.probe(b.wires[1], b.wires[1], flow); got != server {
					t.Errorf("the client moved from server %d to %d", server, got)
				}
			}
			b.plug(t, i)
			b.recovered(b.wires[0], b.wires[1], flow, server)
			after, err := b.inside.Index(name)
			must(t, err)
			must(t, b.log.has("interface found", name, fmt.Sprintf("index=%d", after)))
			if before == after {
				t.Fatal("the index is the same: nothing was shown")
			}
			b.stop()
		})
	}
}

// TestInterfaceIsReplacedAtOnce leaves no moment in which the director could
// see that the interface is gone.
func TestInterfaceIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.start(b.config(loadPolicy(0)))
	flow := flowOf(1, 1000, udpTo(7))
	server := b.probe(b.wires[0], b.wires[0], flow)
	for range 3 {
		must(t, b.inside.Delete("eth0"))
		b.plug(t, 0)
		b.recovered(b.wires[0], b.wires[0], flow, server)
	}
	b.stop()
}

// TestMTURaised: an MTU that no start would take does not end what goes on.
func TestMTURaised(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.start(b.config(loadPolicy(0)))
	w, flow := b.wires[0], flowOf(1, 1000, udpTo(7))
	server := b.probe(w, w, flow)
	setMTU(t, b, 3000)
	eventually(t, "it is logged", func() error { return b.log.has("level=WARN", "its MTU is 3000", "longer ones are dropped") })
	w.sendPacket(flow.udp(1).Data(append(numbered(1), make([]byte, 2500)...)))
	if got := b.probe(w, w, flow); got != server {
		t.Errorf("the client moved from server %d to %d", server, got)
	}
	if _, ok := w.find(1); ok {
		t.Error("a packet larger than a frame came through")
	}
	b.stop()
}
