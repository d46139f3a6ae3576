package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/packet"
)

// The size of a large table: a million connections, and fewer under the race
// detector, with which listing a million takes 20 s.
const (
	manyClients    = 1000 / slowness
	portsOfAClient = 1000
)

// TestListingDoesNotStall lists a large table over and over while single frames
// pass: each listing has every connection, and no frame waits for a listing.
func TestListingDoesNotStall(t *testing.T) {
	b := newBed(t, 1)
	b.tables = "{connections: 2097152, connections6: 64, templates: 64, templates6: 64, servers: 256}"
	b.start(b.config(`
services:
  - {address: 203.0.113.10, protocol: udp, port: 7, scheduler: rr, servers: [{address: 10.0.0.11}, {address: 10.0.0.12}]}
`))
	b.fill(manyClients, portsOfAClient)

	quiet := b.gaps(time.Now().Add(500 * time.Millisecond).Before)
	listing, cancel := context.WithCancel(t.Context())
	defer cancel()
	var each []time.Duration // one listing
	done := make(chan int)
	go func() {
		listed := 0
		for range 2 {
			start := time.Now()
			if err := b.control.Connections(listing, func(*control.Connection) error { listed++; return nil }); err != nil {
				t.Error(err)
			}
			each = append(each, time.Since(start))
		}
		done <- listed
	}()
	listed := 0
	busy := b.gaps(func(time.Time) bool {
		select {
		case listed = <-done:
			return false
		default:
			return true
		}
	})
	if listed != 2*manyClients*portsOfAClient {
		t.Errorf("%d entries listed, expected twice %d", listed, manyClients*portsOfAClient)
	}
	t.Logf("a frame took %v without a listing, %v (median), %v (longest) during listings of %v",
		quiet[len(quiet)/2], busy[len(busy)/2], busy[len(busy)-1], each)
	// A worker that waited for a listing would need about as long.
	if worst, limit := busy[len(busy)-1], max(each[0], each[1])/2; worst > limit {
		t.Errorf("a frame took %v during a listing of %v", worst, each)
	}
	b.stop()
}

// TestStopUnderListings stops the director while clients of the control socket
// read large tables: one as fast as it can, one not at all.
func TestStopUnderListings(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.start(b.config(`
services:
  - {address: 203.0.113.10, protocol: udp, port: 7, scheduler: rr, servers: [{address: 10.0.0.11}]}
`))
	b.fill(40, 1000)
	lazy := make(chan error, 1)
	go b.control.Connections(t.Context(), func(*control.Connection) error { //nolint:errcheck // it ends with the director
		lazy <- nil
		<-t.Context().Done()
		return t.Context().Err()
	})
	<-lazy
	eager, first := make(chan error, 1), make(chan bool, 1)
	go func() {
		for {
			err := b.control.Connections(t.Context(), func(*control.Connection) error { return nil })
			if err != nil {
				eager <- err
				return
			}
			select {
			case first <- true:
			default:
			}
		}
	}()
	<-first
	b.stop()
	if err := <-eager; !strings.Contains(err.Error(), "control socket") && !strings.Contains(err.Error(), "no director answers") {
		t.Errorf("the listing ended with %v", err)
	}
}

// fill makes connections, one a port of each client. It sends again what was lost.
func (b *bed) fill(clients, ports int) {
	b.t.Helper()
	made := make([]bool, clients*ports)
	eventually(b.t, fmt.Sprintf("there are %d connections", len(made)), func() error {
		b.connect(made, ports)
		for _, a := range b.wires[0].take() {
			made[a.number] = true
		}
		if first := slices.Index(made, false); first >= 0 {
			return fmt.Errorf("connection %d is missing", first)
		}
		return nil
	})
}

// connect sends a frame for each connection that is not made yet. Frames bear the
// connections' numbers.
func (b *bed) connect(made []bool, ports int) {
	w, sent := b.wires[0], 0
	for client := range len(made) / ports {
		frame := w.frameOf(flowOf(client, 1000, udpTo(7)).udp(0))
		for port := range ports {
			number := client*ports + port
			if made[number] {
				continue
			}
			if sent%64 == 0 {
				b.awaitWindow(sent)
			}
			binary.BigEndian.PutUint16(frame[packet.EthernetLen+packet.IPv4Len:], uint16(1000+port))
			renumber(frame, uint32(number))
			w.send(frame)
			sent++
		}
	}
}

// awaitWindow waits until not too many of the frames sent are under way, or
// nothing moves any more.
func (b *bed) awaitWindow(sent int) {
	for deadline := time.Now().Add(20 * time.Millisecond); sent-b.wires[0].count() > 512 && time.Now().Before(deadline); {
		time.Sleep(50 * time.Microsecond)
	}
}

// gaps sends one frame after the other, and returns how long they took, sorted.
func (b *bed) gaps(more func(time.Time) bool) (took []time.Duration) {
	b.t.Helper()
	w := b.wires[0]
	flow := flowOf(1, 1000, udpTo(7))
	for number := uint32(0); len(took) == 0 || more(time.Now()); number++ {
		start := time.Now()
		w.sendPacket(flow.udp(number))
		for {
			if a, ok := w.find(number); ok {
				took = append(took, a.at.Sub(start))
				break
			}
			if time.Since(start) > patience {
				b.t.Fatalf("frame %d did not arrive", number)
			}
			time.Sleep(20 * time.Microsecond)
		}
	}
	slices.Sort(took)
	w.take()
	return took
}
