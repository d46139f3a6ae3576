package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/xlvs/xlvs/perf/result"
)

// Run measures the opponents, round by round. What it has found so far it returns
// also with an error, which is that of its context or what went wrong on its own
// side: an opponent that cannot be had, or fails, is skipped, with the reason.
func Run(ctx context.Context, o Options) (*result.Wire, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	defer raiseSession(os.Getpid())()
	r := &runner{o: &o, total: len(o.Opponents) * len(o.Queues) * o.Repeat}
	for _, queues := range o.Queues {
		first := len(r.seats)
		for _, name := range o.Opponents {
			opponent, _ := findOpponent(name)
			r.seats = append(r.seats, &seat{opponent: opponent, queues: queues})
		}
		r.table = r.seats[first:]
		r.capacity = 0
		for round := range o.Repeat {
			for i := range r.table {
				// Each round begins with the next, so that none is always first after a pause;
				// but the first round begins with the reference.
				s := r.table[(i+round+r.referenceSeat())%len(r.table)]
				if err := r.measure(ctx, s, round); err != nil {
					return r.results(), err
				}
			}
		}
	}
	return r.results(), nil
}

// runner is a run under way.
type runner struct {
	o        *Options
	seats    []*seat
	table    []*seat // those with the number of queues that is being measured
	capacity float64 // of the reference, frames a second, 0 until it is known
	done     int
	total    int
}

// seat is an opponent with a number of queues, and what was measured of it.
type seat struct {
	opponent opponent
	queues   int
	mode     string
	skipped  string
	failed   bool
	measured []*measurement // by round; nil where it was skipped
}

// measurement is one opponent in one round.
type measurement struct {
	throughput *outcome
	cpu        time.Duration // a frame
	lossFree   float64       // frames a second
	trials     []result.Trial
	latencies  []latency
	fresh      *outcome
}

// latency is the delays at one load.
type latency struct {
	load   float64
	waited time.Duration // that the balancer wanted a CPU and others had it
	stolen time.Duration // that the hypervisor took from all CPUs together
	*outcome
}

func (r *runner) referenceSeat() int {
	for i, s := range r.table {
		if s.opponent.name == r.o.Reference {
			return i
		}
	}
	return 0
}

// measure measures one opponent in one round, on a bed of its own.
func (r *runner) measure(ctx context.Context, s *seat, round int) error {
	defer func() { r.done++ }()
	if s.skipped != "" {
		s.measured = append(s.measured, nil)
		return nil
	}
	r.tell(s, round, "start")
	m, err := r.turn(ctx, s, round)
	if errors.Is(err, errBed) {
		return err
	}
	s.measured = append(s.measured, m)
	var gone unavailable
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &gone):
		s.skipped = gone.reason
	case err != nil:
		s.failed = true
		s.skipped = fmt.Sprintf("failed in round %d: %v", round+1, err)
	}
	r.finished(s, round, m)
	return nil
}

// errBed marks an error of our own side.
var errBed = errors.New("make a wire")

// turn is an opponent's turn, on a bed of its own or on a real interface.
func (r *runner) turn(ctx context.Context, s *seat, round int) (m *measurement, err error) {
	if r.o.Interface != "" {
		far, err := hostSite(r.o.Interface, s.queues)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errBed, err)
		}
		return r.hold(ctx, s, round, far)
	}
	b, err := newBed(s.queues, Traffic{Size: r.o.Size, Flows: r.o.Flows}, r.o.generatorCPUs(s.queues))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBed, err)
	}
	defer func() { err = errors.Join(err, b.close()) }()
	return r.onBed(ctx, s, round, b)
}

// onBed starts an opponent, measures it, and stops it.
func (r *runner) onBed(ctx context.Context, s *seat, round int, b *bed) (m *measurement, err error) {
	running, err := s.opponent.start(ctx, b, r.o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, running.stop()) }()
	if err := b.await(ctx, running); err != nil {
		return nil, err
	}
	if s.mode, err = running.bound(ctx); err != nil {
		return nil, err
	}
	m, err = r.trials(ctx, s, round, b, running)
	if err == nil {
		err = running.ended()
	}
	return m, err
}

// warmUp is how long an opponent runs at full load before it is measured.
const warmUp = 300 * time.Millisecond

// trials measures an opponent that forwards.
func (r *runner) trials(ctx context.Context, s *seat, round int, b *bed, running *running) (*measurement, error) {
	m := &measurement{}
	full := load{duration: warmUp, fresh: r.o.Mix}
	if _, err := b.ends.trial(ctx, full); err != nil {
		return nil, err
	}
	r.tell(s, round, "throughput")
	full.duration = r.o.Duration
	before := running.cpuTime()
	var err error
	if m.throughput, err = b.ends.trial(ctx, full); err != nil {
		return nil, err
	}
	if n := m.throughput.received; n > 0 {
		m.cpu = (running.cpuTime() - before) / time.Duration(n)
	}
	capacity := m.throughput.allOfThem
	if r.o.LossFree {
		r.tell(s, round, "loss-free rate")
		if err := r.search(ctx, b, m); err != nil {
			return nil, err
		}
		capacity = m.lossFree
	}
	if r.capacity == 0 && s.opponent.name == r.o.Reference {
		r.capacity = capacity
	}
	if r.o.Latency {
		r.tell(s, round, "latency")
		if err := r.latencies(ctx, b, running, m, capacity); err != nil {
			return nil, err
		}
	}
	if r.o.Fresh {
		r.tell(s, round, "new connections")
		if m.fresh, err = b.ends.trial(ctx, load{duration: r.o.Duration, fresh: 1}); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// search finds the loss-free rate.
func (r *runner) search(ctx context.Context, b *bed, m *measurement) (err error) {
	// What gets through when more is offered is about as much as goes without loss.
	start, ceiling := m.throughput.bestSecond, max(m.throughput.bestSecond, m.throughput.offered())
	m.lossFree, err = searchLossFree(start, ceiling, r.o.Resolution, r.o.Tolerance, func(rate float64) (float64, error) {
		o, err := b.ends.trial(ctx, load{rate: rate, duration: r.o.Step, fresh: r.o.Mix})
		if err != nil {
			return 0, err
		}
		m.trials = append(m.trials, result.Trial{OfferedMpps: mega(o.offered()), Sent: o.sent, Received: o.received})
		return o.loss(), nil
	})
	return err
}

// latencies measures delays at each load. All opponents get the same rates, those
// of the reference; capacity is the opponent's own, for when there is none.
func (r *runner) latencies(ctx context.Context, b *bed, running *running, m *measurement, capacity float64) error {
	if r.capacity != 0 {
		capacity = r.capacity
	}
	for _, share := range r.o.Loads {
		before, taken := running.schedules(), stolen()
		o, err := b.ends.trial(ctx, load{rate: share * capacity, duration: r.o.Duration, stamp: true})
		if err != nil {
			return err
		}
		m.latencies = append(m.latencies, latency{
			load: share, outcome: o, stolen: stolen() - taken,
			waited: waitedSince(before, running.schedules(), o.elapsed),
		})
	}
	return nil
}

func (r *runner) tell(s *seat, round int, step string) {
	if r.o.Progress == nil {
		return
	}
	r.o.Progress(Progress{Done: r.done, Total: r.total,
		Step: fmt.Sprintf("%s, %d queues, round %d: %s", s.opponent.name, s.queues, round+1, step)})
}

func (r *runner) finished(s *seat, round int, m *measurement) {
	if r.o.Progress == nil {
		return
	}
	line := fmt.Sprintf("%-12s %2d  %2d", s.opponent.name, s.queues, round+1)
	if m == nil {
		line += "  skipped: " + s.skipped
	} else {
		line += m.line()
	}
	r.o.Progress(Progress{Done: r.done + 1, Total: r.total, Finished: line})
}

// ProgressHeader is above the lines of Progress.Finished.
const ProgressHeader = "balancer      q  rd    Mpps  loss-free  p50 us  p99 us  p99.9 us  new/s    CPU ns/packet"

// line is a measurement in a line of a table.
func (m *measurement) line() string {
	dash := func(have bool, format string, v float64) string {
		if !have {
			return fmt.Sprintf("%*s", len(fmt.Sprintf(format, 0.0)), "-")
		}
		return fmt.Sprintf(format, v)
	}
	var p result.Percentiles
	if len(m.latencies) > 0 {
		p = percentilesOf(m.latencies[0].delays)
	}
	timed, fresh := len(m.latencies) > 0, 0.0
	if m.fresh != nil {
		fresh = m.fresh.bestSecond
	}
	return dash(true, "  %6.3f", mega(m.throughput.bestSecond)) +
		dash(m.lossFree > 0, "     %6.3f", mega(m.lossFree)) +
		dash(timed, "  %6.1f", p.P50) + dash(timed, "  %6.1f", p.P99) + dash(timed, "    %6.1f", p.P999) +
		dash(m.fresh != nil, "  %7.0f", fresh) +
		dash(m.cpu > 0, "  %6.0f", float64(m.cpu.Nanoseconds()))
}

// mega is frames a second in millions.
func mega(rate float64) float64 { return rate / 1e6 }
