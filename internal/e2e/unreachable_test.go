package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// unreachablePolicy has two servers that answer ARP, and more.
func unreachablePolicy(scheduler, unreachable, more string) string {
	return fmt.Sprintf(`
defaults: {unreachable: %s}
services:
  - address: %s
    protocol: udp
    port: 7
    %s
    servers: [{address: 10.0.0.11}, {address: 10.0.0.12}%s]
`, unreachable, vip, scheduler, more)
}

// startUnreachable starts the director, and then adds the server that cannot be reached.
func (b *bed) startUnreachable(scheduler, unreachable string) {
	b.t.Helper()
	b.start(b.config(unreachablePolicy(scheduler, unreachable, "")))
	if !b.reload(b.config(unreachablePolicy(scheduler, unreachable, ", {address: 10.0.0.200}"))) {
		b.t.Fatal("the reload was refused")
	}
}

// noteUnreachable waits until the director knows about the server what it is to know.
func (b *bed) noteUnreachable(reachable, unreachable bool) {
	b.t.Helper()
	eventually(b.t, "10.0.0.200 is known", func() error {
		for _, s := range b.services()[0].Servers {
			if s.Address.String() == "10.0.0.200" && s.Reachable == reachable && s.Unreachable == unreachable {
				return nil
			}
		}
		return fmt.Errorf("servers are %+v", b.services()[0].Servers)
	})
}

// served is how many of 60 new clients each server got; those that nobody got are at 0.
func (b *bed) served(from int) map[byte]int {
	b.t.Helper()
	w := b.wires[0]
	var numbers []uint32
	for i := range 60 {
		number := nextProbe()
		numbers = append(numbers, number)
		w.sendPacket(flowOf(from+i, 1000, udpTo(7)).udp(number))
	}
	// One more that is forwarded: what came before it has been decided.
	for last := 60; ; last++ {
		number := nextProbe()
		w.sendPacket(flowOf(from+last, 1000, udpTo(7)).udp(number))
		if w.arrives(number) {
			break
		}
	}
	met := map[byte]int{}
	for _, number := range numbers {
		got, _ := w.find(number)
		met[got.server]++
	}
	return met
}

// arrives tells whether a frame comes out within a short time.
func (w *wire) arrives(number uint32) bool {
	for deadline := time.Now().Add(50 * time.Millisecond); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if _, ok := w.find(number); ok {
			return true
		}
	}
	return false
}

// A server that cannot be reached gets no new clients, and gets some as soon as it answers.
func TestUnreachableServer(t *testing.T) {
	t.Parallel()
	for name, scheduler := range map[string]string{
		"rr": "scheduler: rr", "mh": "scheduler: mh\n    flags: [mh-fallback]", "sh": "scheduler: sh\n    flags: [sh-fallback]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, 1)
			b.startUnreachable(scheduler, "skip")
			b.noteUnreachable(false, true)
			met := b.served(1000)
			if met[0] != 0 || met[11] == 0 || met[12] == 0 || met[11]+met[12] != 60 {
				t.Errorf("with an unreachable server, clients met %v", met)
			}
			index, err := b.inside.Index("eth0")
			must(t, err)
			mac := serverMAC(200)
			must(t, b.inside.Netlink().NeighSet(&netlink.Neigh{
				LinkIndex: index, State: netlink.NUD_PERMANENT, Family: unix.AF_INET,
				IP: netip.MustParseAddr("10.0.0.200").AsSlice(), HardwareAddr: mac[:],
			}))
			b.noteUnreachable(true, false)
			if met := b.served(2000); met[0] != 0 || met[200] == 0 {
				t.Errorf("with the server back, clients met %v", met)
			}
			b.stop()
		})
	}
}

// With unreachable: keep it gets its share, as in IPVS, and the packets are lost.
func TestUnreachableServerKept(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.startUnreachable("scheduler: rr", "keep")
	b.noteUnreachable(false, false)
	eventually(t, "the server is asked for in vain", func() error {
		if text := b.services()[0].Servers[2].Neighbour; text != "10.0.0.200 does not answer ARP on eth0" {
			return fmt.Errorf("it is: %s", text)
		}
		return nil
	})
	if met := b.served(1000); met[0] == 0 || met[11] == 0 || met[12] == 0 {
		t.Errorf("clients met %v", met)
	}
	b.stop()
}
