package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/control"
)

// TestRefusedReloads keeps the running configuration when the new one is bad.
func TestRefusedReloads(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	good := b.config(loadPolicy(0))
	b.start(good)
	flow := flowOf(1, 1000, udpTo(7))
	server := b.probe(b.wires[0], b.wires[0], flow)
	before := settled(b.services())
	for _, bad := range []struct {
		what, text string
		wants      []string
	}{
		{"syntax", good + "services: [", []string{"xlvs.yaml:"}},
		{"unknown key", strings.Replace(good, "scheduler: rr", "schedular: rr", 1), []string{"xlvs.yaml:", "schedular", "scheduler"}},
		{"unknown scheduler", strings.Replace(good, "scheduler: rr", "scheduler: best", 1), []string{"xlvs.yaml:", "best"}},
		{"empty", "", []string{"xlvs.yaml:", "empty"}},
		{"rings", good + "rings: {rx: 1024}\n", []string{"rings.rx", "restart"}},
		{"tables", strings.Replace(good, "connections: 65536", "connections: 1024", 1), []string{"tables.connections", "restart"}},
		{"interface", strings.Replace(good, "name: eth0", "name: eth5", 1), []string{"interface eth5", "restart"}},
		{"socket", strings.Replace(good, b.socket(), b.socket()+"2", 1), []string{"control.socket", "restart"}},
		{"pin", strings.Replace(good, b.pin, b.pin+"2", 1), []string{"steering.pin", "restart"}},
		{"too many servers", b.config(manyServers(1000, 300)), []string{"server"}},
	} {
		if b.reload(bad.text) {
			t.Errorf("%s: the reload was taken", bad.what)
		}
		must(t, b.log.has(append(bad.wants, "reload refused")...))
		if diff := cmp.Diff(before, settled(b.services()), cmp.Comparer(sameAddr)); diff != "" {
			t.Errorf("%s: the services changed:\n%s", bad.what, diff)
		}
		if got := b.probe(b.wires[0], b.wires[0], flow); got != server {
			t.Errorf("%s: the client moved from server %d to %d", bad.what, server, got)
		}
	}
	for _, text := range []string{b.config(manyServers(5000, 200)), good} {
		if !b.reload(text) {
			t.Errorf("a good configuration is refused after the bad ones:\n%s", b.log)
		}
	}
	b.stop()
}

// TestRefusedReloadsTakeNoRoom: servers that a refused configuration had do not
// stand in the way of the next one.
func TestRefusedReloadsTakeNoRoom(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.start(b.config(manyServers(1000, 100)))
	if b.reload(b.config(manyServers(5000, 200))) { // more than there is room for with those in force
		t.Fatal("300 servers fit into 256")
	}
	eventually(t, "their numbers are vacant when the tables have been swept", func() error {
		if !b.reload(b.config(manyServers(9000, 150))) {
			return errors.New("150 servers more do not fit")
		}
		return nil
	})
	b.stop()
}

// manyServers has n real servers, each of a service of its own; a bed's tables
// have room for 256.
func manyServers(port, n int) string {
	var s strings.Builder
	s.WriteString("services:\n")
	for i := range n {
		fmt.Fprintf(&s, "  - {address: %s, protocol: tcp, port: %d, servers: [{address: 10.0.0.11}]}\n", vip, port+i)
	}
	return s.String()
}

func sameAddr(a, b netip.Addr) bool { return a == b }

// settled is a listing without what traffic and time change.
func settled(services []control.ServiceStatus) []control.ServiceStatus {
	for i := range services {
		s := &services[i]
		s.Stats, s.Rate = control.Traffic{}, control.Rate{}
		for j := range s.Servers {
			r := &s.Servers[j]
			r.Stats, r.Rate, r.Active, r.Inactive, r.Persistent = control.Traffic{}, control.Rate{}, 0, 0, 0
		}
	}
	return services
}

// TestReloadConverges: the state after a reload from any configuration is that
// after a start, connections and templates apart.
func TestReloadConverges(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	forwarded := 0
	reloaded := newBed(t, 2)
	reloaded.start(reloaded.config(randomPolicy(t, r)))
	started := newBed(t, 2)
	for round := range 8 {
		policy := randomPolicy(t, r)
		if !reloaded.reload(reloaded.config(policy)) {
			t.Fatalf("a valid configuration was refused:\n%s", policy)
		}
		started.start(started.config(policy))
		var states [2]state
		eventually(t, "both directors are in the same state", func() error {
			states = [2]state{reloaded.state(round), started.state(round)}
			if diff := cmp.Diff(states[1], states[0], cmp.Comparer(sameAddr)); diff != "" {
				return fmt.Errorf("round %d: start (-) and reload (+) with\n%s\ndiffer:\n%s", round, policy, diff)
			}
			return nil
		})
		forwarded += len(states[0].Forwarded)
		started.stop()
	}
	t.Logf("%d probes forwarded", forwarded)
	if forwarded < 8 {
		t.Error("too few to show anything")
	}
	reloaded.stop()
}

// state is what a director does, to the eye.
type state struct {
	Services  []control.ServiceStatus
	Forwarded []uint32          // the probes that a server got
	Steering  map[string]uint64 // the probes by reason
	Frames    map[string]uint64 // the claimed probes by reason
}

// state lists the services and sends every probe once.
func (b *bed) state(round int) state {
	b.t.Helper()
	w := b.wires[0]
	w.take()
	before, frames := b.status(), probeFrames(b, round)
	for _, f := range frames {
		w.send(f)
	}
	s := state{Services: settled(b.services())}
	eventually(b.t, "every probe is decided on", func() error {
		now := b.status()
		s.Steering, s.Frames = growth(before.Steering, now.Steering), growth(before.Frames, now.Frames)
		for _, other := range []string{"not_ip", "no_ports", "group_address"} {
			delete(s.Steering, other) // neighbours' chatter
		}
		claimed, decided := s.Steering["claimed_flow"], sum(s.Frames)
		if sum(s.Steering) != uint64(len(frames)) || decided != claimed || uint64(w.count()) != s.Frames["forwarded"] {
			return fmt.Errorf("%d probes: %v, %v, %d arrived", len(frames), s.Steering, s.Frames, w.count())
		}
		return nil
	})
	for _, a := range w.take() {
		s.Forwarded = append(s.Forwarded, a.number)
	}
	slices.Sort(s.Forwarded)
	return s
}

func growth(before, now map[string]uint64) map[string]uint64 {
	grown := map[string]uint64{}
	for k, v := range now {
		if v != before[k] {
			grown[k] = v - before[k]
		}
	}
	return grown
}

func sum(m map[string]uint64) (total uint64) {
	for _, v := range m {
		total += v
	}
	return total
}

// The small world of random configurations.
var (
	worldVIPs  = []string{"203.0.113.10", "203.0.113.11", "203.0.113.12", "203.0.113.13"}
	worldPorts = []uint16{7, 8, 9, 21, 2000}
)

// probeFrames are frames of every kind that random configurations tell apart,
// each of a client of its own.
func probeFrames(b *bed, round int) (frames [][]byte) {
	number := uint32(0)
	for _, address := range worldVIPs {
		for _, port := range worldPorts {
			for _, network := range []int{0, 1} {
				f := flowOf(network<<15+round<<8+int(number), 1000, netip.AddrPortFrom(netip.MustParseAddr(address), port))
				frames = append(frames, b.wires[0].frameOf(f.udp(number)), b.wires[0].frameOf(f.tcp(number+1).SYN().DSCP(46)))
				number += 2
			}
		}
	}
	return frames
}

// randomPolicy is a valid one.
func randomPolicy(t *testing.T, r *rand.Rand) string {
	for range 1000 {
		text := drawPolicy(r)
		if _, err := config.Parse("random", []byte("interfaces: [{name: eth0}]\n"+text)); err == nil {
			return text
		}
	}
	t.Fatal("no valid configuration in a thousand")
	return ""
}

func drawPolicy(r *rand.Rand) string {
	var s strings.Builder
	fmt.Fprintf(&s, "defaults: {timeouts: {udp: %ds}}\nmarks:\n", 60+r.IntN(9))
	for range 2 + r.IntN(4) {
		fmt.Fprintf(&s, "  - {mark: %d, match: {protocol: %s, destination: %s%s}}\n", 1+r.IntN(4),
			pick(r, "tcp", "udp", "any"), pick(r, worldVIPs[0], worldVIPs[1], "203.0.113.10/31", "203.0.113.0/24"),
			pick(r, "", "", ", ports: 7", ", ports: [7, 8]", ", ports: 1-2000", ", source: 198.18.0.0/17", ", dscp: ef", ", interface: eth0"))
	}
	s.WriteString("services:\n")
	for _, mark := range r.Perm(4)[:2+r.IntN(3)] {
		drawService(&s, r, fmt.Sprintf("fwmark: %d", mark+1))
	}
	for _, i := range r.Perm(len(worldVIPs))[:r.IntN(4)] {
		drawService(&s, r, fmt.Sprintf("address: %s, protocol: %s, port: %d",
			worldVIPs[i], pick(r, "tcp", "udp"), worldPorts[r.IntN(len(worldPorts))]))
	}
	return s.String()
}

func drawService(s *strings.Builder, r *rand.Rand, key string) {
	var servers []string
	for _, i := range r.Perm(4)[:1+r.IntN(4)] {
		servers = append(servers, fmt.Sprintf("{address: 10.0.0.%d, weight: %d}", 11+i, max(0, r.IntN(5)-1)))
	}
	fmt.Fprintf(s, "  - {%s, scheduler: %s, %s servers: [%s]}\n", key,
		// All but ovf, which refuses clients by the number of connections there are,
		// and mh, which as in IPVS remembers the last weight of a quiesced server.
		pick(r, "rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "fo", "twos", "lblc", "lblcr"),
		pick(r, "", "persistence: {timeout: 1m},", "persistence: {timeout: 2m, mask: 24},", "expire_nodest: true,", "one_packet: true,"),
		strings.Join(servers, ", "))
}

func pick(r *rand.Rand, words ...string) string { return words[r.IntN(len(words))] }
