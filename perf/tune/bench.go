package tune

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/perf/wire"
)

// Bench is a director under full load in namespaces of its own.
type Bench struct {
	director
	stand    *wire.Stand
	duration time.Duration
	base     config.Config // what a plan changes
	rings    sizes         // that the director runs with; zero if there may be none
}

// NewBench makes a wire, and starts a director on it with the rings and workers of
// a configuration, but for the workers' CPUs, which the options say; nil is the
// defaults. Its express lane is closed: what is tuned is the workers, and known
// connections would not come to them. duration is of one measurement. Close takes it all away.
func NewBench(ctx context.Context, o wire.Options, base *config.Config, duration time.Duration) (*Bench, error) {
	c, err := config.Parse("defaults", []byte("interfaces: [{name: bench}]"))
	if err != nil {
		return nil, err
	}
	if base != nil {
		c.Rings, c.Workers = base.Rings, base.Workers
	}
	o.Director.Rings, o.Director.Workers = starting(c)
	o.Director.Express = string(config.ExpressOff)
	stand, err := wire.NewStand(ctx, o)
	if err != nil {
		return nil, err
	}
	client := control.NewClient(stand.Socket())
	return &Bench{director{client: client, trial: trialOf(duration)}, stand, duration, *c, sizesOf(&c.Rings)}, nil
}

// starting is what a director is started with.
func starting(c *config.Config) (rings, workers map[string]string) {
	r := &c.Rings
	rings = map[string]string{
		"frame_size": strconv.Itoa(r.FrameSize), "huge_pages": strconv.FormatBool(r.HugePages), "busy_poll": r.BusyPoll.String(),
	}
	for key, n := range map[string]int{
		"rx": r.RX, "tx": r.TX, "fill": r.Fill, "completion": r.Completion, "frames": r.Frames,
		"batch": r.Batch, "transmit_budget": r.TransmitBudget,
	} {
		rings[key] = strconv.Itoa(n)
	}
	return rings, map[string]string{"spin": spinName(c.Workers.Spin)}
}

// sizes are what a director takes at its start only.
type sizes struct{ rx, tx, fill, completion, frames int }

func sizesOf(r *config.Rings) sizes { return sizes{r.RX, r.TX, r.Fill, r.Completion, r.Frames} }

// Terms are what a search may do with it.
func (b *Bench) Terms() Terms { return Terms{Restart: true, Senders: b.stand.Generators()} }

// Apply implements Objective. Rings of another size need another start.
func (b *Bench) Apply(ctx context.Context, arguments []string) error {
	p, err := parsePlan(arguments)
	if err != nil {
		return err
	}
	c := b.base
	p.into(&c)
	if err := c.Check(); err != nil { // known now, without a restart
		return Refused{err}
	}
	if want := sizesOf(&c.Rings); want != b.rings {
		b.rings, b.current = sizes{}, nil
		rings, workers := starting(&c)
		if err := b.stand.Restart(ctx, rings, workers); err != nil {
			return refused(ctx, fmt.Errorf("start with other rings: %w", err))
		}
		b.rings = want
	}
	return b.try(ctx, &p.Settings)
}

// Measure implements Objective: frames a second that come out.
func (b *Bench) Measure(ctx context.Context) (Sample, error) {
	if b.rings == (sizes{}) {
		return Sample{}, errors.New("there is no director to measure")
	}
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
