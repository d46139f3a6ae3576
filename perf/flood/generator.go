package flood

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/xlvs/xlvs/ring"
)

// generator sends a flood from one interface. One goroutine uses it.
type generator struct {
	umem   *ring.UMEM
	socket *ring.Socket
}

const (
	generatorFrames = 4096
	generatorRing   = 2048
	generatorBatch  = 64
)

// newGenerator opens a socket in the calling thread's namespace.
func newGenerator(ifindex int) (*generator, error) {
	umem, err := ring.NewUMEM(ring.UMEMConfig{Frames: generatorFrames, FrameSize: 2048})
	if err != nil {
		return nil, err
	}
	socket, err := ring.Open(umem, ring.SocketConfig{Interface: ifindex, Mode: ring.Copy, RX: 64, Fill: 64, TX: generatorRing})
	if err != nil {
		umem.Close()
		return nil, err
	}
	return &generator{umem: umem, socket: socket}, nil
}

func (g *generator) close() {
	g.socket.Close()
	g.umem.Close()
}

// flood sends frames of a kind for a time, at a rate if that is not 0, and returns
// how many the kernel took.
func (g *generator) flood(ctx context.Context, s *stream, m *mould, rate int, duration time.Duration) (sent uint64, err error) {
	start := time.Now()
	for {
		elapsed := time.Since(start)
		if elapsed >= duration || ctx.Err() != nil {
			return sent, ctx.Err()
		}
		n := generatorBatch
		if rate > 0 {
			due := int64(elapsed.Seconds()*float64(rate)) - int64(sent)
			if n = int(min(due, generatorBatch)); n <= 0 {
				time.Sleep(200 * time.Microsecond)
				continue
			}
		}
		taken, err := g.batch(s, m, n)
		sent += uint64(taken)
		if err != nil {
			return sent, fmt.Errorf("send a flood: %w", err)
		}
	}
}

// batch sends n frames at most: as many as there is room for.
func (g *generator) batch(s *stream, m *mould, n int) (sent int, err error) {
	var out [generatorBatch]ring.Desc
	k := 0
	for ; k < n; k++ {
		d, ok := g.umem.Alloc(uint32(len(m.frame)))
		if !ok {
			break
		}
		m.lay(g.umem.Bytes(d), s.next())
		out[k] = d
	}
	sent = g.socket.Transmit(out[:k])
	for _, d := range out[sent:k] {
		g.umem.Free(d)
	}
	return sent, g.socket.Flush()
}

// indexOf is an interface's index in the calling thread's namespace.
func indexOf(name string) (int, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	return i.Index, nil
}
