package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/xlvs/xlvs/packet"
)

// TestSYNFlood sends spoofed SYNs, many times what the tables hold: clients whose
// connections are established lose nothing, and new ones get through.
func TestSYNFlood(t *testing.T) {
	t.Parallel()
	b := newBed(t, 2)
	b.tables = "{connections: 2048, connections6: 64, templates: 1024, templates6: 64, servers: 256}"
	b.start(b.config(fmt.Sprintf(`
services:
  - address: %s
    protocol: tcp
    port: 7
    scheduler: rr
    persistence: {timeout: 10m}
    servers: [{address: 10.0.0.11}, {address: 10.0.0.12}, {address: 10.0.0.13}]
`, vip)))
	var clients []flow
	for c := range 300 {
		clients = append(clients, flowOf(c, 1000, udpTo(7)))
	}
	met := b.handshakes(clients)

	const flood = 20000
	w := b.wires[0]
	for i := range flood {
		w.send(spoofed(w, i))
	}
	for f, server := range b.talk(clients) {
		if met[f] != server {
			t.Errorf("client %s met server %d, after the flood %d", f.client, met[f], server)
		}
	}
	if n := b.status().Frames["no_connection"]; n != 0 {
		t.Errorf("%d segments of established connections were dropped", n)
	}
	// New connections of the same clients: the templates were kept, too.
	var second []flow
	for _, f := range clients[:50] {
		second = append(second, f.from(2000))
	}
	for f, server := range b.handshakes(second) {
		if want := met[f.from(1000)]; server != want {
			t.Errorf("client %s met server %d, had %d", f.client, server, want)
		}
	}
	// Clients that were not there before get in.
	var late []flow
	for c := range 50 {
		late = append(late, flowOf(5000+c, 1000, udpTo(7)))
	}
	met = b.handshakes(late)
	for i := range flood / 10 {
		w.send(spoofed(w, flood+i))
	}
	for f, server := range b.talk(late) {
		if met[f] != server {
			t.Errorf("client %s met server %d, after the flood %d", f.client, met[f], server)
		}
	}
	tables := b.status().Tables
	t.Logf("tables: %+v; frames: %v", tables, nonZero(b.status().Frames))
	if tables[0].Displaced == 0 {
		t.Error("no connection made room: the flood was too small to show anything")
	}
	b.stop()
}

// spoofed is the SYN of a client that nobody hears of again.
func spoofed(w *wire, i int) []byte {
	f := w.frameOf(flowOf(1<<14+i, 1000+i%50000, udpTo(7)).tcp(0).SYN())
	copy(f[len(f)-8:], "flood...") // it has no number
	return f
}

// handshakes opens connections, SYN and ACK. What a flood has pushed out of a
// ring, or of the table before the ACK came, is tried again, as clients do.
func (b *bed) handshakes(flows []flow) map[flow]byte {
	return b.exchange(flows, packet.SYN, packet.ACK)
}

// talk sends one segment of each connection, and again until it gets through.
func (b *bed) talk(flows []flow) map[flow]byte { return b.exchange(flows, packet.ACK) }

// exchange sends segments of each flow until the last one gets through, and says
// whom that met.
func (b *bed) exchange(flows []flow, flags ...uint8) map[flow]byte {
	b.t.Helper()
	met := map[flow]byte{}
	eventually(b.t, "a segment of every connection arrives", func() error {
		var missing []flow
		for _, f := range flows {
			if met[f] == 0 {
				missing = append(missing, f)
			}
		}
		for i, flag := range flags {
			for f, server := range b.segments(missing, flag) {
				if i == len(flags)-1 {
					met[f] = server
				}
			}
		}
		if len(met) < len(flows) {
			return fmt.Errorf("%d of %d; %v", len(met), len(flows), nonZero(b.status().Frames))
		}
		return nil
	})
	return met
}

// segments sends one of each flow and returns whom those that arrived met.
func (b *bed) segments(flows []flow, flags uint8) map[flow]byte {
	b.t.Helper()
	w := b.wires[0]
	w.take()
	by := map[netip.AddrPort]flow{}
	for _, f := range flows {
		by[f.client] = f
		w.sendPacket(f.tcp(uint32(flags)).Flags(flags))
	}
	for deadline := time.Now().Add(100 * time.Millisecond); w.count() < len(flows) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	met := map[flow]byte{}
	for _, a := range w.take() { // late ones of another kind, too
		if f, ok := by[a.source]; ok && a.number == uint32(flags) {
			met[f] = a.server
		}
	}
	return met
}

// from is the client's flow from another port.
func (f flow) from(port uint16) flow {
	return flow{netip.AddrPortFrom(f.client.Addr(), port), f.virtual}
}
