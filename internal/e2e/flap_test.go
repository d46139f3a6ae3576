package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const streamFlows = 500

// stream sends numbered frames of many flows, a window at a time, until its stop
// is called, which returns how many the kernel took.
func (b *bed) stream(in, out *wire) (stop func() int) {
	const window = 100
	var frames [][]byte
	for i := range streamFlows {
		frames = append(frames, in.frameOf(flowOf(i/4<<8+i%4, 1000, udpTo(7)).udp(0)))
	}
	end := make(chan struct{})
	sent := 0
	var sender sync.WaitGroup
	sender.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			for range window {
				renumber(frames[sent%streamFlows], uint32(sent))
				if _, err := unix.Write(in.fd, frames[sent%streamFlows]); err == nil {
					sent++
				}
			}
			time.Sleep(time.Millisecond)
		}
	})
	return func() int { close(end); sender.Wait(); return sent }
}

// smallRings have so few frames that a leak of one a flap would soon be felt.
const smallRings = "rings: {frames: 256, rx: 64, tx: 64, fill: 128, completion: 64, batch: 32, transmit_budget: 64}\n"

// TestFlapsUnderLoad takes links down and up under traffic: no frame comes twice,
// none of the frames in the rings is lost for good.
func TestFlapsUnderLoad(t *testing.T) {
	t.Parallel()
	b := newBed(t, 2, 2)
	b.start(b.config(loadPolicy(1)) + smallRings)
	b.probe(b.wires[0], b.wires[1], flowOf(9999, 1000, udpTo(7)))
	b.wires[1].take()
	stop := b.stream(b.wires[0], b.wires[1])
	for n := range 16 {
		ns, name := b.inside, fmt.Sprintf("eth%d", n%2)
		if n%4 >= 2 {
			ns, name = b.outside, fmt.Sprintf("wire%d", n%2)
		}
		must(t, ns.Down(name))
		time.Sleep(time.Duration(n%5) * time.Millisecond) // as it comes: nothing is waited for
		must(t, ns.Up(name))
		had := b.wires[1].count()
		eventually(t, "traffic goes on", func() error {
			if b.wires[1].count() == had {
				return fmt.Errorf("%d frames, as before flap %d of %s", had, n, name)
			}
			return nil
		})
	}
	sent := stop()

	// Far more frames pass than there are in the rings, a batch at a time: a frame
	// that was lost for good would be missed. (A late word of the last flap makes the
	// servers be looked for once more, so a batch may need another try.)
	const batches, size = 120, 32
	for batch := range batches {
		eventually(t, "a whole batch passes", func() error {
			from := sent
			for i := range size {
				c := (batch*size + i) % streamFlows
				b.wires[0].sendPacket(flowOf(c/4<<8+c%4, 1000, udpTo(7)).udp(uint32(sent)))
				sent++
			}
			for deadline := time.Now().Add(200 * time.Millisecond); b.wires[1].countFrom(from) < size; time.Sleep(100 * time.Microsecond) {
				if time.Now().After(deadline) {
					return fmt.Errorf("%d of %d frames of batch %d; %v, %v", b.wires[1].countFrom(from), size, batch,
						nonZero(b.status().Frames), b.status().Sockets)
				}
			}
			return nil
		})
	}
	checkArrivals(t, b.wires[1].take(), sent)
	b.stop()
}

// TestStopUnderLoad stops and starts the director while frames come.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	b := newBed(t, 2, 2)
	stop := b.stream(b.wires[0], b.wires[1])
	for range 5 {
		b.start(b.config(loadPolicy(1)))
		had := b.wires[1].count()
		eventually(t, "traffic flows", func() error {
			if b.wires[1].count() < had+1000 {
				return fmt.Errorf("%d frames, %d when it was ready", b.wires[1].count(), had)
			}
			return nil
		})
		b.stop()
	}
	stop()
}

// TestStopWithoutInterface stops cleanly although an interface is gone, and
// starts although it went, and came back, while no director was there.
func TestStopWithoutInterface(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1, 1)
	flow := flowOf(1, 1000, udpTo(7))
	b.start(b.config(loadPolicy(1)))
	b.probe(b.wires[0], b.wires[1], flow)
	must(t, b.inside.Delete("eth0"))
	eventually(t, "the loss is logged", func() error { return b.log.has("interface lost", "eth0") })
	b.stop()
	if exists(b.pin) || exists(b.socket()) {
		t.Errorf("%s or %s is left", b.pin, b.socket())
	}

	b.plug(t, 0)
	b.start(b.config(loadPolicy(1)))
	server := b.probe(b.wires[0], b.wires[1], flow)
	b.kill()
	must(t, b.inside.Delete("eth0"))
	b.plug(t, 0)
	b.start(b.config(loadPolicy(1)))
	if got := b.probe(b.wires[0], b.wires[1], flow); got != server {
		t.Errorf("the client moved from server %d to %d", server, got)
	}
	b.stop()
	if exists(b.pin) {
		t.Errorf("%s is left", b.pin)
	}
}

// TestStartWithLinkDown: a host whose cable comes later.
func TestStartWithLinkDown(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1, 1)
	must(t, b.inside.Down("eth0"))
	b.start(b.config(loadPolicy(1)))
	must(t, b.inside.Up("eth0"))
	b.probe(b.wires[0], b.wires[1], flowOf(1, 1000, udpTo(7)))
	b.stop()
}
