package tune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/perf/wire"
)

// director is settings on trial at a running director. The director takes them
// back by itself when nobody asks for them any more.
type director struct {
	client  *control.Client
	trial   time.Duration
	current *control.Settings
}

// Apply implements Objective.
func (d *director) Apply(ctx context.Context, arguments []string) error {
	settings, err := Parse(arguments)
	if err != nil {
		return err
	}
	if _, err := d.client.Tune(ctx, settings, d.trial); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return Refused{err}
	}
	d.current = settings
	return nil
}

// renew asks for the settings on trial again.
func (d *director) renew(ctx context.Context) error {
	if d.current == nil {
		return nil
	}
	_, err := d.client.Tune(ctx, d.current, d.trial)
	return err
}

// trialOf is how long a director waits for its tuner: long beside a measurement,
// short beside an operator's patience.
func trialOf(measurement time.Duration) time.Duration { return max(10*time.Second, 5*measurement) }

// Bench is a director under full load in namespaces of its own.
type Bench struct {
	director
	stand    *wire.Stand
	duration time.Duration
}

// NewBench makes a wire, starts the director on it and warms it up. duration is
// of one measurement. Close takes it all away.
func NewBench(ctx context.Context, o wire.Options, duration time.Duration) (*Bench, error) {
	stand, err := wire.NewStand(ctx, o)
	if err != nil {
		return nil, err
	}
	b := &Bench{director{client: control.NewClient(stand.Socket()), trial: trialOf(duration)}, stand, duration}
	if _, err := stand.Throughput(ctx, duration); err != nil { // every flow becomes known
		return nil, errors.Join(err, stand.Close())
	}
	return b, nil
}

// Client talks to the bench's director.
func (b *Bench) Client() *control.Client { return b.client }

// Measure implements Objective: frames a second that come out.
func (b *Bench) Measure(ctx context.Context) (Sample, error) {
	if err := b.renew(ctx); err != nil {
		return Sample{}, err
	}
	t, err := b.stand.Throughput(ctx, b.duration)
	if err != nil {
		return Sample{}, err
	}
	return Sample{Score: t.PerSecond, Text: fmt.Sprintf("%.3f Mpps, %v a frame", t.PerSecond/1e6, t.CPU)}, nil
}

// Close stops the director and takes the namespaces away.
func (b *Bench) Close() error { return b.stand.Close() }

// Live is a director at work on its own traffic.
type Live struct {
	director
	duration time.Duration
	before   *control.Settings
}

// NewLive begins trials at a running director. Restore ends them.
func NewLive(ctx context.Context, client *control.Client, duration time.Duration) (*Live, error) {
	now, err := client.Tuning(ctx)
	if err != nil {
		return nil, err
	}
	if now.Trial {
		return nil, errors.New("somebody else has settings of this director on trial: wait for the end of it")
	}
	before := now.Settings
	before.Coalescing = nil // it stays as it is
	return &Live{director{client: client, trial: trialOf(duration)}, duration, &before}, nil
}

// Restore puts the settings back that were in force before.
func (l *Live) Restore(ctx context.Context) error {
	_, err := l.client.Tune(ctx, l.before, 0)
	return err
}

// settle is how long new settings are in force before what they do is measured.
const settle = 100 * time.Millisecond

// Measure implements Objective: frames forwarded for each second of processor
// time that the host spent, so that under a load that can be carried the cheaper
// settings win, and under one that cannot the faster.
func (l *Live) Measure(ctx context.Context) (Sample, error) {
	if err := l.renew(ctx); err != nil {
		return Sample{}, err
	}
	if err := sleep(ctx, settle); err != nil {
		return Sample{}, err
	}
	for attempt := 1; ; attempt++ {
		s, err := l.sample(ctx)
		if attempt == attempts || !errors.Is(err, errLittle) {
			return s, err
		}
	}
}

// attempts is how often traffic may pause before a search gives up.
const attempts = 5

var errLittle = errors.New("too little traffic to measure")

// sample counts for the time of a measurement.
func (l *Live) sample(ctx context.Context) (Sample, error) {
	before, err := l.count(ctx)
	if err != nil {
		return Sample{}, err
	}
	if err := sleep(ctx, l.duration); err != nil {
		return Sample{}, err
	}
	after, err := l.count(ctx)
	if err != nil {
		return Sample{}, err
	}
	return after.since(before)
}

// counts is what a director and its host have done so far.
type counts struct {
	forwarded, received, lost uint64
	busy                      time.Duration // of all CPUs
	at                        time.Time
}

func (l *Live) count(ctx context.Context) (c counts, err error) {
	status, err := l.client.Status(ctx)
	if err != nil {
		return c, err
	}
	c.at, c.forwarded = time.Now(), status.Frames["forwarded"]
	for _, s := range status.Sockets {
		c.received += s.Counters["received"]
		c.lost += s.Counters["rx_ring_full"] + s.Counters["rx_dropped"] + s.Counters["tx_full"]
	}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return c, err
	}
	c.busy, err = busyTime(string(stat))
	return c, err
}

// leastFrames is how many frames tell anything.
const leastFrames = 1000

func (c counts) since(b counts) (Sample, error) {
	if c.forwarded < b.forwarded || c.received < b.received || c.lost < b.lost {
		return Sample{}, errors.New("a socket was lost and opened anew during a measurement")
	}
	forwarded, lost := c.forwarded-b.forwarded, c.lost-b.lost
	if forwarded < leastFrames {
		return Sample{}, fmt.Errorf("%d frames in %v: %w", forwarded, c.at.Sub(b.at).Round(time.Millisecond), errLittle)
	}
	busy := max(c.busy-b.busy, tick).Seconds()
	s := Sample{Score: float64(forwarded) / busy, Loss: float64(lost) / float64(c.received-b.received+lost)}
	s.Text = fmt.Sprintf("%.3f Mpps, %.2f CPUs busy, %.4f %% lost", float64(forwarded)/c.at.Sub(b.at).Seconds()/1e6,
		busy/c.at.Sub(b.at).Seconds(), 100*s.Loss)
	return s, nil
}

// tick is the unit of /proc/stat, USER_HZ.
const tick = 10 * time.Millisecond

// busyTime is how long all CPUs together did something, of the first line of
// /proc/stat: user, nice, system, idle, iowait, irq, softirq, ... (proc_stat(5)).
func busyTime(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var sum time.Duration
	for _, i := range []int{1, 2, 3, 6, 7} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// From makes a search begin with what a director has in force: its values come
// into the space where they are not there, and those that its rings are too small
// for go.
func From(space []Parameter, now *control.Tuning) ([]Parameter, Choice, error) {
	var start Choice
	space = slices.Clone(space)
	for i := range space {
		p := &space[i]
		p.Values = slices.DeleteFunc(slices.Clone(p.Values), func(v []string) bool { return !fits(v, &now.Rings) })
		at, err := inForce(p.Values, &now.Settings)
		if err != nil {
			return nil, nil, err
		}
		if at < 0 {
			p.Values = append([][]string{currentValue(p.Name, &now.Settings)}, p.Values...)
			at = 0
		}
		start = append(start, at)
	}
	return space, start, nil
}

// fits tells whether rings are large enough for a value.
func fits(arguments []string, r *control.RingSizes) bool {
	s, err := Parse(arguments)
	return err == nil && value(s.Batch) <= min(r.RX, r.TX) && value(s.TransmitBudget) <= r.TX
}

// inForce finds the value that is in force, -1 for none.
func inForce(values [][]string, now *control.Settings) (int, error) {
	for i, v := range values {
		s, err := Parse(v)
		if err != nil {
			return 0, err
		}
		if within(s, now) {
			return i, nil
		}
	}
	return -1, nil
}

// within tells whether settings are what is in force. Busy polling that is off is
// off whatever the rest says.
func within(s, now *control.Settings) bool {
	same := func(a, b *int) bool { return a == nil || b != nil && *a == *b }
	if s.Spin != nil && *s.Spin != value(now.Spin) || !same(s.Batch, now.Batch) || !same(s.TransmitBudget, now.TransmitBudget) {
		return false
	}
	a, b := s.BusyPoll, now.BusyPoll
	if a == nil || b == nil {
		return a == nil
	}
	if value(a.Enabled) != value(b.Enabled) || !value(a.Enabled) {
		return value(a.Enabled) == value(b.Enabled)
	}
	return same(a.Microseconds, b.Microseconds) && same(a.Budget, b.Budget) &&
		same(a.DeferHardIRQs, b.DeferHardIRQs) && same(a.GROFlushTimeout, b.GROFlushTimeout)
}

// currentValue is what is in force, as a value of a parameter of Space.
func currentValue(name string, now *control.Settings) []string {
	switch name {
	case "batch":
		return []string{fmt.Sprintf("batch=%d", value(now.Batch))}
	case "transmit_budget":
		return []string{fmt.Sprintf("transmit_budget=%d", value(now.TransmitBudget))}
	case "spin":
		return []string{"spin=" + spinName(value(now.Spin))}
	}
	b := now.BusyPoll
	return []string{
		"busy_poll=on", fmt.Sprintf("busy_poll.microseconds=%d", value(b.Microseconds)), fmt.Sprintf("busy_poll.budget=%d", value(b.Budget)),
		fmt.Sprintf("busy_poll.defer_hard_irqs=%d", value(b.DeferHardIRQs)), fmt.Sprintf("busy_poll.gro_flush_timeout=%d", value(b.GROFlushTimeout)),
	}
}
