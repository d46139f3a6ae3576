package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/perf/tune"
	"github.com/xlvs/xlvs/perf/wire"
)

func tuneSearchCommand() *cli.Command {
	var parameters strings.Builder
	for _, p := range tune.Space() {
		fmt.Fprintf(&parameters, "  %s: %s\n      %s\n", p.Name, p.Why, p.Tries())
	}
	return &cli.Command{
		Name:  "search",
		Usage: "try settings under load and write those that won",
		UsageText: `xlvs tune search                                      a generator and a director in namespaces of their own
xlvs tune search -c xlvs.yaml --write tuned.yaml      write the configuration that won
xlvs tune search --live --duration 5s --max-loss 0.001   the running director, under the traffic it has
xlvs tune search --only batch,rings --json`,
		Description: "Goes through the parameters one by one. Their values race against the one in force: all are\n" +
			"measured in every round, and fall out when they are certain not to be worth a change. At the\n" +
			"end the winner is compared with the start afresh; what is not better for certain (98 %) is not\n" +
			"written. What was changed is put back, also after Ctrl-C; and should the search be killed, a\n" +
			"running director takes the settings on trial back by itself.\n" +
			"In namespaces, better is more frames a second under full load. With --live it is more frames\n" +
			"for each second of processor time of the whole host, so keep the host quiet otherwise; a value\n" +
			"that loses more than --max-loss is out at once. Sizes of rings need a restart, so they are tried\n" +
			"in namespaces only. What cannot be tried is said, with the reason.\n\n" +
			"Parameters and values:\n" + parameters.String(),
		Flags:  tuneSearchFlags(),
		Before: noArguments,
		Action: tuneSearch,
	}
}

func tuneSearchFlags() []cli.Flag {
	return []cli.Flag{
		configFlag(),
		&cli.StringFlag{Name: "write", Usage: "write the outcome to `FILE`: the configuration of -c with the settings that won, or without -c those alone"},
		&cli.BoolFlag{Name: "force", Usage: "let --write replace a file"},
		&cli.BoolFlag{Name: "json", Usage: "print the evidence as JSON"},
		&cli.StringSliceFlag{Name: "only", Aliases: []string{"parameters"}, Usage: "search the parameters with these `NAMES` alone"},
		&cli.DurationFlag{Name: "duration", Usage: "`TIME` of a measurement", Value: 500 * time.Millisecond},
		&cli.IntFlag{Name: "rounds", Usage: "the most `ROUNDS` of a race", Value: 16},
		&cli.IntFlag{Name: "confirm", Usage: "`ROUNDS` that compare winner and start", Value: 12},
		&cli.IntFlag{Name: "passes", Usage: "how often all parameters are gone through, at most", Value: 2},
		&cli.Float64Flag{Name: "gain", Usage: "the `SHARE` by which a value must be better to be worth a change", Value: 0.02},
		&cli.BoolFlag{Name: "live", Usage: "search on the running director under the traffic that it has"},
		&cli.Float64Flag{Name: "max-loss", Usage: "--live: the `SHARE` of frames that a value may lose", Value: 0.001},
		&cli.IntFlag{Name: "queues", Usage: "in namespaces: `NUMBER` of queues", Value: 1},
		&cli.IntFlag{Name: "size", Usage: "in namespaces: `BYTES` of a frame", Value: 64},
		&cli.IntFlag{Name: "flows", Usage: "in namespaces: `NUMBER` of connections", Value: 16000},
		&cli.Uint64Flag{Name: "seed", Usage: "of the order of measurements", DefaultText: "drawn"},
		socketFlag(),
	}
}

func tuneSearch(c *cli.Context) error {
	space := tune.Space()
	if names := c.StringSlice("only"); len(names) > 0 {
		some, err := tune.Only(space, names)
		if err != nil {
			return usage{err}
		}
		space = some
	}
	var base *config.Config
	if path := c.String("config"); path != "" {
		var err error
		if base, err = load(c, path); err != nil {
			return err
		}
	}
	if path := c.String("write"); path != "" && !c.Bool("force") {
		if _, err := os.Lstat(path); err == nil { // known now, not after minutes
			return usage{fmt.Errorf("--write: %s is there already: another name, or --force", path)}
		}
	}
	evidence, err := searched(c, space, base)
	if evidence != nil && len(evidence.Races) > 0 {
		err = errors.Join(err, printEvidence(c, evidence))
	}
	if err != nil {
		return err
	}
	if path := c.String("write"); path != "" {
		data, err := evidence.Configuration(base)
		if err != nil {
			return err
		}
		if err := tune.WriteFile(path, data, c.Bool("force")); err != nil {
			return err
		}
		fmt.Fprintln(c.App.ErrWriter, "wrote", path)
	}
	return nil
}

func printEvidence(c *cli.Context, e *tune.Evidence) error {
	if c.Bool("json") {
		return (&printer{w: c.App.Writer}).object(e)
	}
	return e.Table(c.App.Writer)
}

// searched searches where the command line says, and puts back what was there.
func searched(c *cli.Context, space []tune.Parameter, base *config.Config) (*tune.Evidence, error) {
	duration := c.Duration("duration")
	if c.Bool("live") {
		live, err := tune.NewLive(c.Context, control.NewClient(c.String("socket")), duration)
		if err != nil {
			return nil, err
		}
		evidence, err := searchOn(c, live, space, fmt.Sprintf("frames for each second of processor time, live traffic, %v a measurement", duration))
		// Its own time: the context may have ended.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context), 10*time.Second)
		defer cancel()
		return evidence, errors.Join(err, live.Restore(ctx))
	}
	o := wire.Options{Opponents: []string{"xlvs"}, Queues: []int{c.Int("queues")}, Size: c.Int("size"), Flows: c.Int("flows")}
	if err := o.Validate(); err != nil {
		return nil, usage{err}
	}
	bench, err := tune.NewBench(c.Context, o, base, duration)
	if err != nil {
		return nil, err
	}
	evidence, err := searchOn(c, bench, space, fmt.Sprintf("frames a second of %d bytes, %d flows, queues %d, veth, %v a measurement",
		o.Size, o.Flows, c.Int("queues"), duration))
	return evidence, errors.Join(err, bench.Close())
}

// tunable is a director that a search tries settings on.
type tunable interface {
	tune.Objective
	Client() *control.Client
	Terms() tune.Terms
}

func searchOn(c *cli.Context, object tunable, space []tune.Parameter, load string) (*tune.Evidence, error) {
	facts, err := tune.Gather(c.Context, object.Client())
	if err != nil {
		return nil, err
	}
	scope, err := tune.NewScope(space, facts, object.Terms())
	if err != nil {
		return nil, err
	}
	for _, l := range scope.LeftOut {
		fmt.Fprintf(c.App.ErrWriter, "not tried: %v\n", l)
	}
	o := tune.Options{Rounds: c.Int("rounds"), Confirm: c.Int("confirm"), Passes: c.Int("passes"), Gain: c.Float64("gain"), Seed: c.Uint64("seed")}
	if c.Bool("live") {
		o.MaxLoss = c.Float64("max-loss")
	}
	if !c.IsSet("seed") {
		o.Seed = uint64(time.Now().UnixNano())
	}
	bar := progressbar.NewOptions(1, progressbar.OptionSetWriter(c.App.ErrWriter), progressbar.OptionSetVisibility(isTerminal(c.App.ErrWriter)),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
	defer bar.Finish() //nolint:errcheck // it is only for show
	o.Progress = func(p tune.Progress) {
		bar.ChangeMax(p.Most)
		if p.Finished != "" {
			bar.Clear() //nolint:errcheck // as above
			fmt.Fprintln(c.App.ErrWriter, p.Finished)
		}
		bar.Describe(p.Step)
		bar.Set(p.Measurements) //nolint:errcheck // as above
	}
	outcome, err := tune.Search(c.Context, object, scope.Space, scope.Start, o)
	return &tune.Evidence{When: time.Now(), Where: tune.Machine(), Load: load, LeftOut: scope.LeftOut, Outcome: outcome}, err
}
