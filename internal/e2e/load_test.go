package e2e

import (
	"fmt"
	"net/netip"
	"testing"
)

// loadPolicy has three servers of wire i behind a mark with persistence, in
// both families.
func loadPolicy(i int) string {
	return fmt.Sprintf(`
marks:
  - mark: 7
    match: {protocol: udp, destination: [%[2]s, %[3]s], ports: 7}
services:
  - fwmark: 7
    scheduler: rr
    persistence: {timeout: 1m, mask: 24, mask6: 64}
    servers:
      - address: 10.%[1]d.0.11
      - address: 10.%[1]d.0.12
      - address: 10.%[1]d.0.13
      - address: fd00:%[1]d::11
      - address: fd00:%[1]d::12
`, i, vip, vip6)
}

// TestNumberedFramesUnderLoad sends more frames than can be carried, from more
// clients than there are queues, and accounts for every one.
func TestNumberedFramesUnderLoad(t *testing.T) {
	for _, queues := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("queues=%d", queues), func(t *testing.T) {
			b := newBed(t, queues)
			b.start(b.config(loadPolicy(0)))
			load(t, b, b.wires[0], b.wires[0])
			if n := len(b.status().Sockets); n != queues {
				t.Errorf("%d sockets for %d queues", n, queues)
			}
			for _, s := range b.status().Sockets {
				if s.Counters["received"] == 0 {
					t.Errorf("nothing came by queue %d", s.Queue)
				}
			}
			b.stop()
		})
	}
}

// The shape of the load: clients are neighbours in a /24 or /64 by eights.
const (
	loadClients = 256
	loadPorts   = 6
	loadRounds  = 20
)

// load sends numbered frames by one wire and checks what comes out of another.
func load(t *testing.T, b *bed, in, out *wire) account {
	t.Helper()
	var frames [][]byte // of one round, a frame a flow
	for c := range loadClients {
		for port := range loadPorts {
			virtual := udpTo(7)
			if c%8 == 7 {
				virtual = netip.AddrPortFrom(netip.MustParseAddr(vip6), 7)
			}
			frames = append(frames, in.frameOf(flowOf(c/8<<8+c, 1000+port, virtual).udp(0)))
		}
	}
	sent := uint32(0)
	for range loadRounds {
		for _, f := range frames {
			renumber(f, sent)
			in.send(f)
			sent++
		}
	}
	a := account{bed: b, in: in, out: out, sent: uint64(sent)}
	eventually(t, "every frame is accounted for", a.balanced)
	t.Log(a)
	checkArrivals(t, out.take(), int(sent))
	if a.arrived < uint64(sent)/10 {
		t.Errorf("only %d of %d frames arrived: too few to show anything", a.arrived, sent)
	}
	return a
}

// renumber gives a frame another number; its checksum is then wrong, and nobody looks.
func renumber(frame []byte, n uint32) {
	frame[len(frame)-4], frame[len(frame)-3] = byte(n>>24), byte(n>>16)
	frame[len(frame)-2], frame[len(frame)-1] = byte(n>>8), byte(n)
}

// checkArrivals wants no frame twice, one server a flow, and one a network of clients.
func checkArrivals(t *testing.T, arrivals []arrival, sent int) {
	t.Helper()
	seen := make([]bool, sent)
	flows, networks, servers := map[netip.AddrPort]byte{}, map[netip.Prefix]byte{}, map[byte]int{}
	for _, a := range arrivals {
		if int(a.number) >= sent || a.server == 0 {
			t.Fatalf("frame %d of %s came for server %d", a.number, a.source, a.server)
		}
		if seen[a.number] {
			t.Errorf("frame %d of %s came twice", a.number, a.source)
		}
		seen[a.number] = true
		servers[a.server]++
		if was, ok := flows[a.source]; ok && was != a.server {
			t.Fatalf("flow %s met servers %d and %d", a.source, was, a.server)
		}
		flows[a.source] = a.server
		network := networkOf(a.source.Addr())
		if was, ok := networks[network]; ok && was != a.server {
			t.Fatalf("clients of %s met servers %d and %d", network, was, a.server)
		}
		networks[network] = a.server
	}
	if len(servers) < 3 {
		t.Errorf("servers met: %v, want all three", servers)
	}
}

func networkOf(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// account is where the frames of a load are. Each stage hands on what the next
// one has, or has counted what it lost.
type account struct {
	*bed
	in, out *wire
	sent    uint64

	arrived, lostByReader uint64 // at the packet socket
	express               uint64 // by the express lane
	text                  string
}

func (a *account) balanced() error {
	s := a.status()
	sockets := map[string]uint64{}
	for _, socket := range s.Sockets {
		for name, n := range socket.Counters {
			sockets[name] += n
		}
	}
	var decided uint64
	for _, n := range s.Frames {
		decided += n
	}
	a.lostByReader += a.out.lost()
	a.arrived = uint64(a.out.count())
	vethIn, vethOut := dropped(a.t, a.outside, a.in.name), dropped(a.t, a.inside, "eth"+a.out.name[len("wire"):])
	steered := s.Steering["claimed_flow"]
	a.express = s.Steering["express"]
	a.text = fmt.Sprintf("sent %d = lost by veth %d + steered %d; steered = express %d + no socket %d + ring full %d + no frame %d + received %d; "+
		"express + received = %v; forwarded = express + transmitted %d = lost by veth %d + lost by the packet socket %d + arrived %d",
		a.sent, vethIn, steered, a.express, s.Steering["no_socket"], sockets["rx_ring_full"], sockets["rx_dropped"], sockets["received"],
		nonZero(s.Frames), sockets["transmitted"], vethOut, a.lostByReader, a.arrived)
	switch {
	case a.sent != vethIn+steered,
		steered != a.express+s.Steering["no_socket"]+sockets["rx_ring_full"]+sockets["rx_dropped"]+sockets["received"],
		a.express+sockets["received"] != decided,
		s.Frames["forwarded"] != a.express+sockets["transmitted"],
		s.Frames["forwarded"] != vethOut+a.lostByReader+a.arrived:
		return fmt.Errorf("it does not add up: %s", a.text)
	}
	return nil
}

func (a account) String() string { return a.text }

func nonZero(m map[string]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for k, v := range m {
		if v != 0 {
			out[k] = v
		}
	}
	return out
}
