package wire

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Stand is a director on a bed of its own that stays, for who tries settings on
// it: through its control socket, or with another start. It belongs to one goroutine.
type Stand struct {
	bed     *bed
	running *running
	dir     string
	options Options
}

// Throughput is what a director did with more frames than it can carry.
type Throughput struct {
	Sent, Received uint64
	PerSecond      float64       // received at the sink
	CPU            time.Duration // of the director's process, a frame received
}

// NewStand makes a bed, starts the director on it and warms it up. Of the options
// those about traffic, CPUs and the director count, and the first number of queues.
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
		bed: b, dir: dir, options: o,
		running: &running{undo: []func() error{b.close, func() error { return os.RemoveAll(dir) }}},
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// start starts the director, waits until it forwards, and sends for a moment:
// every flow becomes known.
func (s *Stand) start(ctx context.Context) (err error) {
	file := filepath.Join(s.dir, "director.yaml")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeConfiguration(file, s.dir, s.bed, &s.options); err != nil {
		return err
	}
	cmd := s.options.xlvs("run", "-c", file, "--ephemeral")
	cmd.Env = append(os.Environ(), s.options.Director.Env...)
	child, err := s.bed.far.start(cmd, nil)
	if err != nil {
		return err
	}
	s.running.child = child
	if err := s.bed.await(ctx, s.running); err != nil {
		return err
	}
	_, err = s.bed.ends.trial(ctx, load{duration: warmUp})
	return err
}

// Restart stops the director and starts it with other rings and workers, as in
// [Director]. It knows no connection then but those of the warm-up. After an error
// there may be no director; another Restart may have one again.
func (s *Stand) Restart(ctx context.Context, rings, workers map[string]string) error {
	if err := s.running.child.stop(); err != nil {
		return err
	}
	s.options.Director.Rings, s.options.Director.Workers = rings, workers
	return s.start(ctx)
}

// Socket is the path of the director's control socket.
func (s *Stand) Socket() string { return filepath.Join(s.dir, socketName) }

// Generators are the CPUs that send to the queues from 0 on. They have no time for
// anything else while they do.
func (s *Stand) Generators() []int { return s.options.generatorCPUs(s.bed.far.queues) }

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
