package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

const reloads = 200

// alternate is the policy of the n-th reload: the service that is watched keeps
// its servers, what is around it comes, goes and changes weight.
func alternate(n int, watched string, server func(int) string) string {
	var marks, services strings.Builder
	fmt.Fprint(&marks, "marks:\n")
	fmt.Fprint(&services, "services:\n")
	if n%2 == 1 { // before and after the watched ones, so that those move
		fmt.Fprintf(&marks, "  - {mark: 99, match: {protocol: tcp, destination: 203.0.113.99, ports: %d}}\n", 1000+n)
		fmt.Fprintf(&services, "  - {fwmark: 99, scheduler: rr, servers: [{address: %s, weight: %d}]}\n", server(11), n)
	}
	services.WriteString(watched)
	if n%3 != 0 {
		fmt.Fprintf(&services, "  - {address: 203.0.113.98, protocol: udp, port: 53, scheduler: mh, servers: [{address: %s, weight: %d}, {address: %s}]}\n",
			server(11), 1+n%4, server(12+n%4/3))
	}
	fmt.Fprintf(&marks, "  - {mark: 7, match: {protocol: [udp, tcp], destination: [%s, %s], ports: [7, %d]}}\n", vip, lanVIP, lanPort)
	return marks.String() + services.String()
}

// TestReloadsLoseNothing reloads 200 times while numbered frames pass.
func TestReloadsLoseNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, 2)
	policy := func(n int) string {
		return b.config(alternate(n, fmt.Sprintf(`
  - fwmark: 7
    scheduler: wrr
    persistence: {timeout: 1m, mask: 24}
    servers: [{address: 10.0.0.11, weight: %d}, {address: 10.0.0.12, weight: 2}, {address: 10.0.0.13}]
`, 1+n%5), func(i int) string { return fmt.Sprintf("10.0.0.%d", i) }))
	}
	b.start(policy(0))
	w := b.wires[0]
	b.probe(w, w, flowOf(9999, 1000, udpTo(7)))
	w.take()

	stop := make(chan struct{})
	sent := 0
	var sender sync.WaitGroup
	sender.Go(func() {
		const flows = 2000
		var frames [][]byte
		for i := range flows {
			frames = append(frames, w.frameOf(flowOf(i/4<<4+i%4, 1000, udpTo(7)).udp(0)))
		}
		for {
			select {
			case <-stop:
				return
			default:
			}
			if sent-w.count() > 500 { // no more than the rings hold: nothing else may be lost
				time.Sleep(100 * time.Microsecond)
				continue
			}
			renumber(frames[sent%flows], uint32(sent))
			if w.trySend(frames[sent%flows]) != nil {
				return
			}
			sent++
			if sent%16 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	for n := range reloads {
		if !b.reload(policy(n + 1)) {
			t.Fatalf("reload %d was refused", n)
		}
	}
	close(stop)
	sender.Wait()
	eventually(t, "every frame has arrived", func() error {
		if w.count() != sent {
			return fmt.Errorf("%d of %d; %v %v", w.count(), sent, nonZero(b.status().Frames), nonZero(b.status().Steering))
		}
		return nil
	})
	checkArrivals(t, w.take(), sent)
	t.Logf("%d reloads, %d frames", reloads, sent)
	if sent < reloads {
		t.Errorf("only %d frames for %d reloads: nothing was shown", sent, reloads)
	}
	b.stop()
}

// TestReloadsKeepConnections reloads while kernel TCP talks through the director.
func TestReloadsKeepConnections(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 11, 12)
	policy := func(n int) string {
		return l.config(alternate(n, fmt.Sprintf(`
  - {fwmark: 7, scheduler: wrr, servers: [{address: 10.9.0.11, weight: %d}, {address: 10.9.0.12}]}
`, 1+n%3), func(i int) string { return fmt.Sprintf("10.9.0.%d", min(i, 12)) }))
	}
	l.start(policy(0))
	var sessions []*session
	servers := map[byte]bool{}
	for range 8 {
		s := l.dial()
		sessions = append(sessions, s)
		servers[s.server] = true
	}
	if len(servers) != 2 {
		t.Fatalf("the sessions are with servers %v: both are wanted", servers)
	}
	before := l.connections()
	for n := range 40 {
		if !l.reload(policy(n + 1)) {
			t.Fatalf("reload %d was refused", n)
		}
		for i, s := range sessions {
			if err := s.echo(fmt.Sprintf("reload %d", n)); err != nil {
				t.Fatalf("session %d, reload %d: %v", i, n, err)
			}
		}
	}
	after := l.connections()
	if len(before) != len(sessions) {
		t.Errorf("%d connections for %d sessions", len(before), len(sessions))
	}
	for key, was := range before {
		if now := after[key]; now.Destination != was.Destination {
			t.Errorf("connection %s was with %s, is with %s", key, was.Destination, now.Destination)
		}
	}
	l.stop()
}
