package tune

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
	"github.com/xlvs/xlvs/perf/measure"
)

// director is settings on trial at a running director. The director takes them
// back by itself when nobody asks for them any more.
type director struct {
	client  *control.Client
	trial   time.Duration
	current *control.Settings
}

// Client talks to the director.
func (d *director) Client() *control.Client { return d.client }

// try asks for settings. They are on trial even if they are those in force.
func (d *director) try(ctx context.Context, settings *control.Settings) error {
	if _, err := d.client.Tune(ctx, settings, d.trial); err != nil {
		return refused(ctx, err)
	}
	d.current = settings
	return nil
}

// refused is an error as the end of the context, or as a [Refused].
func refused(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return Refused{err}
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

// Live is a director at work on its own traffic.
type Live struct {
	director
	duration time.Duration
	before   control.Settings
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
	return &Live{director{client: client, trial: trialOf(duration)}, duration, now.Settings}, nil
}

// Terms are what a search may do with it: nothing that its clients would notice.
func (l *Live) Terms() Terms { return Terms{} }

// Apply implements Objective.
func (l *Live) Apply(ctx context.Context, arguments []string) error {
	settings, err := Parse(arguments)
	if err != nil {
		return err
	}
	return l.try(ctx, settings)
}

// Restore puts the settings back that were in force before.
func (l *Live) Restore(ctx context.Context) error {
	for _, s := range restoring(l.before, l.current) {
		if _, err := l.client.Tune(ctx, s, 0); err != nil {
			return err
		}
	}
	return nil
}

// restoring is the requests that lead from settings on trial back to those before.
// Coalescing goes by what the interface had: what a request does not name stays, so
// that what was tried has to go before what was set earlier comes back.
func restoring(before control.Settings, tried *control.Settings) []*control.Settings {
	earlier := before.Coalescing
	before.Coalescing = nil // that of other interfaces stays as it is
	if tried == nil || len(tried.Coalescing) == 0 {
		return []*control.Settings{&before}
	}
	host := &control.Settings{Coalescing: map[string]nic.Coalescing{}}
	before.Coalescing = map[string]nic.Coalescing{}
	for name := range tried.Coalescing {
		host.Coalescing[name] = nic.Coalescing{}
		before.Coalescing[name] = earlier[name]
	}
	return []*control.Settings{host, &before}
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
	c.received = status.Steering["express"]
	for _, s := range status.Sockets {
		c.received += s.Counters["received"]
		c.lost += s.Counters["rx_ring_full"] + s.Counters["rx_dropped"] + s.Counters["tx_full"]
	}
	times, err := measure.ReadTimes()
	c.busy = times.Busy
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
	busy := max(c.busy-b.busy, measure.Tick).Seconds()
	s := Sample{Score: float64(forwarded) / busy, Loss: float64(lost) / float64(c.received-b.received+lost)}
	s.Text = fmt.Sprintf("%.3f Mpps, %.2f CPUs busy, %.4f %% lost", float64(forwarded)/c.at.Sub(b.at).Seconds()/1e6,
		busy/c.at.Sub(b.at).Seconds(), 100*s.Loss)
	return s, nil
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
