package dataplane

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/packet"
)

// TestTwoWorkersAgreeOnEveryClient lets two workers race on the first packets
// of the same clients, each with connections of its own: every client must
// have one server on both, and each connection keep it.
func TestTwoWorkersAgreeOnEveryClient(t *testing.T) {
	const clients = 100_000
	w := newBenchBed(t, false)
	order := rand.New(rand.NewPCG(3, 4)).Perm(clients)
	var servers [2][]byte
	var wait sync.WaitGroup
	start := make(chan struct{})
	for worker := range servers {
		servers[worker] = make([]byte, clients)
		f := NewForwarder(w.plane)
		wait.Go(func() {
			<-start
			openAll(t, f, w.now, order, uint16(worker), servers[worker])
		})
	}
	close(start)
	wait.Wait()
	split, seen := 0, map[byte]int{}
	for client := range clients {
		if servers[0][client] != servers[1][client] {
			split++
		}
		seen[servers[0][client]]++
	}
	if split > 0 {
		t.Errorf("%d of %d clients were split over two servers", split, clients)
	}
	if len(seen) != 8 {
		t.Errorf("%d of 8 servers have clients: %v", len(seen), seen)
	}
}

// openAll opens a connection for each client and sends a second packet on it.
func openAll(t *testing.T, f *Forwarder, now affinity.Tick, order []int, worker uint16, servers []byte) {
	frames, verdicts := make([]Frame, benchBatch), make([]Verdict, benchBatch)
	for i := range frames {
		frames[i] = FrameOf(benchFrame(false))
	}
	for _, flags := range []uint8{packet.SYN, packet.ACK} {
		for at := 0; at < len(order); at += benchBatch {
			n := min(benchBatch, len(order)-at)
			for i := range n {
				setFlow(frames[i].Bytes(), false, uint32(order[at+i]), flags)
				binary.BigEndian.PutUint16(frames[i].Bytes()[14+20:], 1024+worker)
			}
			f.Forward(frames[:n], 1, now, verdicts)
			for i := range n {
				got := &servers[order[at+i]]
				if verdicts[i].Reason != Forwarded || (*got != 0 && *got != frames[i].Bytes()[5]) {
					t.Errorf("client %d: %v to server %d, before to %d", order[at+i], verdicts[i].Reason, frames[i].Bytes()[5], *got)
					return
				}
				*got = frames[i].Bytes()[5]
			}
		}
	}
}
