package wire

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/asavie/xdp"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sync/errgroup"

	"github.com/xlvs/xlvs/ring"
)

// ForwardKind is a forwarder that swaps MAC addresses and does nothing else.
type ForwardKind string

// The kinds of forwarder.
const (
	ForwardAsavie ForwardKind = "asavie"       // github.com/asavie/xdp as its documentation has it
	ForwardLarge  ForwardKind = "asavie-large" // with rings as large as the director's
	ForwardRing   ForwardKind = "af-xdp"       // package ring
)

// ForwardCommand are the arguments with which a program calls [Forward]: they are
// given to Options.Self, and followed by kind, interface and CPUs.
var ForwardCommand = []string{"bench", "wire", "forward"}

// startForwarder runs Forward in a process of its own: asavie/xdp ends the
// process on errors that a balancer outlives.
func startForwarder(kind ForwardKind) func(context.Context, *bed, *Options) (*running, error) {
	return func(_ context.Context, b *bed, o *Options) (*running, error) {
		args := append(slices.Clone(ForwardCommand), string(kind), b.far.device)
		cpus := o.balancerCPUs(b.far.queues)
		for _, cpu := range cpus {
			args = append(args, strconv.Itoa(cpu))
		}
		c, err := b.far.start(o.xlvs(args...), nil)
		if err != nil {
			return nil, err
		}
		mode := o.ownChoice()
		if kind == ForwardRing {
			mode = ring.Copy.String()
		}
		return &running{child: c, mode: mode}, nil
	}
}

// Forward forwards on an interface until the context ends: queue i on cpus[i].
func Forward(ctx context.Context, kind ForwardKind, device string, cpus []int) error {
	s, err := hostSite(device, len(cpus))
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(max(runtime.NumCPU(), len(cpus)+2)) // as the director does
	switch kind {
	case ForwardAsavie:
		return forwardAsavie(ctx, s, cpus, nil)
	case ForwardLarge:
		return forwardAsavie(ctx, s, cpus, &largeRings)
	case ForwardRing:
		return forwardRing(ctx, s, cpus)
	}
	return fmt.Errorf("forwarder %q: want %s, %s or %s", kind, ForwardAsavie, ForwardLarge, ForwardRing)
}

// batchFrames is what a forwarder takes at once, and the director by default.
const batchFrames = 64

// swapMACs sends a frame back where it came from.
func swapMACs(frame []byte) {
	var other [6]byte
	copy(other[:], frame[:6])
	copy(frame[:6], frame[6:12])
	copy(frame[6:12], other[:])
}

// forwardRing is the least that can be done with package ring.
func forwardRing(ctx context.Context, s *site, cpus []int) error {
	var programs wireObjects
	if err := loadWireObjects(&programs, nil); err != nil {
		return err
	}
	defer programs.Close()
	want := expected(false, 0)
	if err := programs.Expectation.Put(uint32(0), &want); err != nil {
		return err
	}
	attached, err := s.attach(programs.Take, link.XDPDriverMode)
	if err != nil {
		return err
	}
	defer attached.Close()
	var group errgroup.Group
	for queue, cpu := range cpus {
		group.Go(func() error {
			runtime.LockOSThread()
			if err := pin(cpu); err != nil {
				return err
			}
			register := func(socket *ring.Socket) error {
				return programs.Sockets.Put(uint32(queue), uint32(socket.FD()))
			}
			return forwardQueue(ctx, s.index, uint32(queue), register)
		})
	}
	return group.Wait()
}

func forwardQueue(ctx context.Context, index int, queue uint32, register func(*ring.Socket) error) (err error) {
	umem, err := ring.NewUMEM(ring.UMEMConfig{Frames: 8192, FrameSize: 2048})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, umem.Close()) }()
	waiter, err := ring.NewWaiter(umem)
	if err != nil {
		return err
	}
	defer waiter.Close()
	defer context.AfterFunc(ctx, waiter.Wake)()
	socket, err := ring.Open(umem, ring.SocketConfig{Interface: index, Queue: queue, Mode: ring.Copy})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, socket.Close()) }()
	if err := register(socket); err != nil {
		return err
	}
	sockets, descs := []*ring.Socket{socket}, make([]ring.Desc, batchFrames)
	for ctx.Err() == nil {
		n := socket.Receive(descs)
		for _, d := range descs[:n] {
			swapMACs(umem.Bytes(d))
		}
		for _, d := range descs[socket.Transmit(descs[:n]):n] {
			umem.Free(d)
		}
		if err := socket.Flush(); err != nil {
			return err
		}
		if n == 0 {
			if err := waiter.Wait(sockets, time.Second); err != nil {
				return err
			}
		}
	}
	return nil
}

// forwardAsavie is the loop of the library's own documentation. Without rings it
// has the library's defaults, as there.
func forwardAsavie(ctx context.Context, s *site, cpus []int, rings *xdp.SocketOptions) error {
	program, err := xdp.NewProgram(len(cpus))
	if err != nil {
		return err
	}
	defer program.Close()
	if err := program.Attach(s.index); err != nil {
		return err
	}
	defer program.Detach(s.index)
	failed := make(chan error, len(cpus))
	for queue, cpu := range cpus {
		socket, err := xdp.NewSocket(s.index, queue, rings)
		if err != nil {
			return err
		}
		if err := program.Register(queue, socket.FD()); err != nil {
			return err
		}
		go func() {
			runtime.LockOSThread()
			if err := pin(cpu); err != nil {
				failed <- err
				return
			}
			failed <- asavieLoop(socket)
		}()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil // its Poll has no end but that of the process
	}
}

// largeRings are as large as the director's, and there are frames for all of them.
var largeRings = xdp.SocketOptions{
	NumFrames:              8192,
	FrameSize:              2048,
	FillRingNumDescs:       2048,
	CompletionRingNumDescs: 2048,
	RxRingNumDescs:         2048,
	TxRingNumDescs:         2048,
}

func asavieLoop(socket *xdp.Socket) error {
	for {
		socket.Fill(socket.GetDescs(socket.NumFreeFillSlots()))
		n, _, err := socket.Poll(-1)
		if err != nil {
			return err
		}
		received := socket.Receive(n)
		for _, d := range received {
			swapMACs(socket.GetFrame(d))
		}
		socket.Transmit(received)
	}
}
