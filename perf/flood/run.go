package flood

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/xlvs/xlvs/perf/result"
)

// Run measures each kind at each rate on each link, one after the other, each with a
// director and clients of its own. After an error it returns what there is.
func Run(ctx context.Context, o Options) (*result.Flood, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	found := &result.Flood{}
	total := len(o.Kinds) * len(o.Rates) * len(o.Links)
	for _, link := range o.Links {
		for _, kind := range o.Kinds {
			for _, rate := range o.Rates {
				if o.Progress != nil {
					o.Progress(fmt.Sprintf("%s, %s link, %d/s", kind, link, rate), len(found.Runs), total)
				}
				run, err := one(ctx, &o, kind, link, rate)
				if err != nil {
					return found, fmt.Errorf("flood %s by the %s link: %w", kind, link, err)
				}
				found.Runs = append(found.Runs, *run)
				if o.Each != nil {
					o.Each(run)
				}
			}
		}
	}
	return found, nil
}

// one is one flood.
func one(ctx context.Context, o *Options, kind, link string, rate int) (run *result.FloodRun, err error) {
	b, err := newBed(link, o.Clients)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.startDirector(ctx, link, o); err != nil {
		return nil, err
	}
	from, to, err := b.target(link)
	if err != nil {
		return nil, err
	}
	m, err := newMould(kind, from, to)
	if err != nil {
		return nil, err
	}
	c := &clients{ns: b.client, addresses: o.Clients, known: map[int]string{}}
	talking, hangUp := context.WithCancel(ctx)
	var staying sync.WaitGroup
	defer staying.Wait()
	defer hangUp()
	for n := range o.Long {
		staying.Go(func() { c.stay(talking, n) })
	}
	var before, during, after phase
	c.come(ctx, &before, o.New, o.Before)

	run = &result.FloodRun{Kind: kind, Link: link, Rate: rate, Seconds: o.Duration.Seconds()}
	var coming sync.WaitGroup
	coming.Go(func() { c.come(ctx, &during, o.New, o.Duration) })
	start := time.Now()
	run.Sent, err = b.flood(ctx, kind, m, rate, o.Duration)
	run.SentPerSecond = float64(run.Sent) / time.Since(start).Seconds()
	coming.Wait()
	if err != nil {
		return nil, err
	}
	c.come(ctx, &after, o.New, o.After)
	hangUp()
	staying.Wait()
	run.Before, run.During, run.After = before.result(), during.result(), after.result()
	c.result(run)
	return run, b.result(ctx, run)
}

// flood sends from the attacker's namespace.
func (b *bed) flood(ctx context.Context, kind string, m *mould, rate int, duration time.Duration) (sent uint64, err error) {
	err = b.attacker.Do(func() error {
		index, err := indexOf("eth0")
		if err != nil {
			return err
		}
		g, err := newGenerator(index)
		if err != nil {
			return err
		}
		defer g.close()
		s := &stream{kind: kind, state: seed}
		sent, err = g.flood(ctx, s, m, rate, duration)
		return err
	})
	return sent, err
}

// seed makes each run's invented addresses the same.
const seed = 88172645463325252

func (p *phase) result() result.NewConnections {
	return result.NewConnections{Served: p.served.Load(), Refused: p.refused.Load(), Slow: p.slow.Load()}
}

func (c *clients) result(run *result.FloodRun) {
	run.Open, run.Lost, run.Moved = c.opened.Load(), c.lost.Load(), c.moved.Load()
	run.Answers, run.SlowAnswers = c.answers.Load(), c.slowAnswers.Load()
	run.LongestWait = time.Duration(c.longest.Load()).Seconds()
	run.Elsewhere = c.elsewhere.Load()
}

// result notes what the director counted and what it said.
func (b *bed) result(ctx context.Context, run *result.FloodRun) error {
	status, err := b.status(ctx)
	if err != nil {
		return err
	}
	run.Frames, run.Steering = counted(status.Frames), counted(status.Steering)
	run.Warnings, err = b.warnings()
	return err
}

// counted is what is not 0 of some counts.
func counted(counts map[string]uint64) map[string]uint64 {
	some := map[string]uint64{}
	for name, n := range counts {
		if n != 0 {
			some[name] = n
		}
	}
	return some
}
