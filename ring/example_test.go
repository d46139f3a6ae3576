package ring_test

import (
	"fmt"
	"log"

	"github.com/xlvs/xlvs/ring"
	"github.com/xlvs/xlvs/ring/ringtest"
)

// A worker's turn: receive a batch, rewrite it in place, send the same frames.
func Example() {
	kernel := ringtest.New() // with ring.NewUMEM it is the real one, and needs root
	nic := kernel.AddNIC(1, 1)

	umem, err := kernel.NewUMEM(ring.UMEMConfig{Frames: 256, FrameSize: 2048})
	if err != nil {
		log.Fatal(err)
	}
	socket, err := ring.Open(umem, ring.SocketConfig{Interface: 1, RX: 64, TX: 64, Fill: 64})
	if err != nil {
		log.Fatal(err)
	}
	nic.Deliver(0, []byte("to: you, from: me, hello"))

	batch := make([]ring.Desc, 64)
	n := socket.Receive(batch)
	for _, d := range batch[:n] {
		copy(umem.Bytes(d), "to: her")
	}
	for _, d := range batch[socket.Transmit(batch[:n]):n] {
		umem.Free(d) // no room on the TX ring
	}
	if err := socket.Flush(); err != nil {
		log.Fatal(err) // wraps ring.ErrDown: close and open anew
	}
	fmt.Printf("%s, in mode %v\n", nic.Sent(0)[0], socket.Mode())

	socket.Close()
	umem.Close()
	// Output: to: her, from: me, hello, in mode copy
}
