package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Stand is one director on a bed of its own that stays, for who tries settings
// on it through its control socket. It belongs to one goroutine.
type Stand struct {
	bed     *bed
	running *running
	socket  string
}

// Throughput is what a director did with more frames than it can carry.
type Throughput struct {
	Sent, Received uint64
	PerSecond      float64       // received at the sink
	CPU            time.Duration // of the director's process, a frame received
}

// NewStand makes a bed and starts the director on it. Of the options those about
// traffic, CPUs and the director count, and the first number of queues.
func NewStand(ctx context.Context, o Options) (*Stand, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	queues := o.Queues[0]
	b, err := newBed(queues, Traffic{Size: o.Size, Flows: o.Flows}, o.generatorCPUs(queues))
	if err != nil {
		return nil, fmt.Errorf("make a wire: %w", err)
	}
	dir, err := os.MkdirTemp("", "xlvs-stand")
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	s := &Stand{
		bed: b, socket: filepath.Join(dir, "xlvs.sock"),
		running: &running{mode: "copy", undo: []func() error{b.close, func() error { return os.RemoveAll(dir) }}},
	}
	if err := s.start(ctx, dir, &o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stand) start(ctx context.Context, dir string, o *Options) (err error) {
	file := filepath.Join(dir, "director.yaml")
	if err := writeConfiguration(file, dir, s.bed, o); err != nil {
		return err
	}
	cmd := o.xlvs("run", "-c", file, "--ephemeral")
	cmd.Env = append(os.Environ(), o.Director.Env...)
	if s.running.child, err = s.bed.far.start(cmd, nil); err != nil {
		return err
	}
	return s.bed.await(ctx, s.running)
}

// Socket is the path of the director's control socket.
func (s *Stand) Socket() string { return s.socket }

// Throughput sends as much as the generators can for a time.
func (s *Stand) Throughput(ctx context.Context, duration time.Duration) (*Throughput, error) {
	before := s.running.cpuTime()
	o, err := s.bed.ends.trial(ctx, load{duration: duration})
	if err != nil {
		return nil, err
	}
	if err := s.running.ended(); err != nil {
		return nil, err
	}
	t := &Throughput{Sent: o.sent, Received: o.received, PerSecond: o.allOfThem}
	if o.received > 0 {
		t.CPU = (s.running.cpuTime() - before) / time.Duration(o.received)
	}
	return t, nil
}

// Close stops the director and takes the bed away.
func (s *Stand) Close() error { return s.running.stop() }
