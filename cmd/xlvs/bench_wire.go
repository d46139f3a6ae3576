package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/perf/result"
	"github.com/xlvs/xlvs/perf/wire"
)

func benchWireCommand() *cli.Command {
	names, does := wire.Opponents()
	var list strings.Builder
	for i := range names {
		fmt.Fprintf(&list, "  %-12s %s\n", names[i], does[i])
	}
	return &cli.Command{
		Name:  "wire",
		Usage: "frames through a wire: throughput, loss-free rate, latency, new connections (root)",
		UsageText: `xlvs bench wire                                    all balancers there are, a few minutes
xlvs bench wire --measure throughput --repeat 3    the quickest answer
xlvs bench wire --opponents xlvs,asavie,xdp-tx --queues 1,2 --json
xlvs bench wire --opponents xlvs --measure latency --loads 0.1,0.5,0.9 --duration 60s
xlvs bench wire --opponents ipvs,xlvs              where the kernel has ip_vs`,
		Description: "Puts a generator and a sink at one end of a veth pair made for the run, in namespaces of\n" +
			"their own, and at the other end each balancer in turn, round by round:\n" + list.String() +
			"A balancer that cannot be had is skipped, with the reason. mpps is the best second, the\n" +
			"median of the rounds. The loss-free rate is searched for as in RFC 2544, section 26.1, with\n" +
			"shorter trials and a tolerance. All balancers have their latency measured at the same rates,\n" +
			"shares of what the first of them carries.\n" +
			"With --interface, each balancer is put on a real interface for a while instead, and another\n" +
			"box sends and measures: xlvs bench generate.",
		Flags:       benchWireFlags(),
		Action:      benchWire,
		Subcommands: []*cli.Command{benchForwardCommand()},
	}
}

// benchTrialFlags are what wire and generate have in common.
func benchTrialFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringSliceFlag{Name: "measure", Usage: "`WHAT`: throughput, loss-free, latency, new",
			Value: cli.NewStringSlice("throughput", "loss-free", "latency", "new")},
		&cli.IntSliceFlag{Name: "queues", Usage: "queues of the balancer, one `NUMBER` or several", Value: cli.NewIntSlice(1)},
		&cli.IntFlag{Name: "repeat", Usage: "`ROUNDS`, in which all balancers take their turn", Value: 5},
		&cli.DurationFlag{Name: "duration", Usage: "`TIME` of a measurement", Value: 2 * time.Second},
		&cli.DurationFlag{Name: "step", Usage: "`TIME` of a step of the search for the loss-free rate", Value: time.Second},
		&cli.Float64Flag{Name: "tolerance", Usage: "`SHARE` of the frames that may be lost in it", Value: 1e-4},
		&cli.Float64SliceFlag{Name: "loads", Usage: "`SHARES` of the capacity at which to measure latency", Value: cli.NewFloat64Slice(0.5)},
		&cli.IntFlag{Name: "size", Usage: "`BYTES` of a frame", Value: 64},
		&cli.IntFlag{Name: "flows", Usage: "`NUMBER` of connections that frames belong to", Value: 16000},
		&cli.Float64Flag{Name: "new", Usage: "`SHARE` of frames that open a new connection, for throughput and loss-free"},
		&cli.IntSliceFlag{Name: "generator-cpus", Usage: "`CPUS` of the generators", DefaultText: "from 0 up"},
	}, benchOutputFlags()...)
}

func benchWireFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringSliceFlag{Name: "opponents", Usage: "the balancers to measure, `NAMES` with commas", DefaultText: "xlvs, asavie, nft-dsr, nft-nat, testpmd, xdp-tx"},
		&cli.IntSliceFlag{Name: "balancer-cpus", Usage: "`CPUS` of the balancer", DefaultText: "those behind the generators"},
		&cli.BoolFlag{Name: "install", Usage: "have apt-get install what a balancer needs"},
		&cli.StringFlag{Name: "interface", Usage: "put each balancer on the real interface `NAME` for a while instead"},
		&cli.StringSliceFlag{Name: "servers", Usage: "`ADDRESSES` of the generator's box, with --interface"},
		&cli.StringFlag{Name: "vip", Usage: "`ADDRESS:PORT` that it sends to, with --interface"},
		&cli.DurationFlag{Name: "hold", Usage: "`TIME` of each balancer's turn, with --interface", Value: 30 * time.Second},
		&cli.StringFlag{Name: "mode", Usage: "xlvs: `MODE` of its sockets, one of auto, zerocopy, copy, generic", Value: "auto"},
		&cli.StringSliceFlag{Name: "rings", Usage: "xlvs: `KEY=VALUE` of its configuration's rings, such as batch=128"},
		&cli.StringSliceFlag{Name: "workers", Usage: "xlvs: `KEY=VALUE` of its configuration's workers, such as spin=off"},
		&cli.StringFlag{Name: "express", Usage: "xlvs: auto, on or off, `WHETHER` it has its express lane", Value: "auto"},
		&cli.StringFlag{Name: "program", Usage: "xlvs: another build of it, at `PATH`", DefaultText: "this one", TakesFile: true},
	}, benchTrialFlags()...)
}

// benchWire measures and prints.
func benchWire(c *cli.Context) error {
	options, err := benchWireOptions(c)
	if err != nil {
		return err
	}
	o, err := beginBench(c)
	if err != nil {
		return err
	}
	options.Progress = o.wireProgress()
	found, err := wire.Run(c.Context, options)
	return o.endWire(found, err)
}

// wireProgress prints a line for each measurement, and shows what is going on.
func (o *benchOutput) wireProgress() func(wire.Progress) {
	o.printf("%s\n", wire.ProgressHeader)
	return func(p wire.Progress) {
		if p.Finished != "" {
			o.printf("%s\n", p.Finished)
		}
		o.progress(p.Step, p.Done, p.Total)
	}
}

// endWire prints what was found, all of it or what there was before an error.
func (o *benchOutput) endWire(found *result.Wire, err error) error {
	if found == nil {
		return err
	}
	o.run.Wire = found
	var table strings.Builder
	if printing := wire.WriteTable(&table, found); printing != nil {
		return errors.Join(err, printing)
	}
	o.printf("\n%s", table.String())
	for _, run := range found.Runs {
		if run.Failed {
			err = errors.Join(err, fmt.Errorf("%s: %s", run.Name, run.Skipped))
		}
	}
	return errors.Join(err, o.end())
}

// benchTrialOptions are the flags that wire and generate have in common.
func benchTrialOptions(c *cli.Context) (wire.Options, error) {
	o := wire.Options{
		Queues: c.IntSlice("queues"), Repeat: c.Int("repeat"),
		Duration: c.Duration("duration"), Step: c.Duration("step"), Tolerance: c.Float64("tolerance"), Loads: c.Float64Slice("loads"),
		Size: c.Int("size"), Flows: c.Int("flows"), Mix: c.Float64("new"), Generators: c.IntSlice("generator-cpus"),
	}
	for _, what := range c.StringSlice("measure") {
		switch what {
		case "throughput":
		case "loss-free":
			o.LossFree = true
		case "latency":
			o.Latency = true
		case "new":
			o.Fresh = true
		default:
			return o, usage{fmt.Errorf("--measure %q: want throughput, loss-free, latency or new", what)}
		}
	}
	return o, nil
}

// What the configuration takes as an interface's mode, and for the express lane.
var (
	wireModes   = []string{string(config.Auto), string(config.ZeroCopy), string(config.Copy), string(config.Generic)}
	wireExpress = []string{string(config.ExpressAuto), string(config.ExpressOn), string(config.ExpressOff)}
)

// choice is a flag that must be one of some words.
func choice(c *cli.Context, flag string, words []string) (string, error) {
	word := c.String(flag)
	if !slices.Contains(words, word) {
		return "", usage{fmt.Errorf("--%s %s: want one of %s", flag, word, strings.Join(words, ", "))}
	}
	return word, nil
}

// benchWireOptions are the flags as options; what is wrong with them is an error
// of the command line.
func benchWireOptions(c *cli.Context) (wire.Options, error) {
	o, err := benchTrialOptions(c)
	if err != nil {
		return o, err
	}
	o.Opponents, o.Balancers, o.Install = c.StringSlice("opponents"), c.IntSlice("balancer-cpus"), c.Bool("install")
	o.Interface, o.Servers, o.VIP, o.Hold = c.String("interface"), c.StringSlice("servers"), c.String("vip"), c.Duration("hold")
	o.Director.Program = c.String("program")
	if o.Director.Rings, err = settings(c, "rings"); err != nil {
		return o, err
	}
	if o.Director.Mode, err = choice(c, "mode", wireModes); err != nil {
		return o, err
	}
	if o.Director.Express, err = choice(c, "express", wireExpress); err != nil {
		return o, err
	}
	if o.Director.Workers, err = settings(c, "workers"); err != nil {
		return o, err
	}
	if err := o.Validate(); err != nil {
		return o, usage{err}
	}
	return o, nil
}

// settings are the KEY=VALUEs of a flag.
func settings(c *cli.Context, flag string) (map[string]string, error) {
	set := map[string]string{}
	for _, text := range c.StringSlice(flag) {
		key, value, found := strings.Cut(text, "=")
		if !found || key == "" || strings.ContainsAny(text, "\n:{}[]#") {
			return nil, usage{fmt.Errorf("--%s %q: want KEY=VALUE", flag, text)}
		}
		set[key] = value
	}
	return set, nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// benchForwardCommand is what wire runs in a namespace; nobody calls it by hand.
func benchForwardCommand() *cli.Command {
	return &cli.Command{
		Name:   wire.ForwardCommand[len(wire.ForwardCommand)-1],
		Usage:  "swap MAC addresses on an interface",
		Hidden: true,
		Action: func(c *cli.Context) error {
			args := c.Args().Slice()
			if len(args) < 3 {
				return usage{fmt.Errorf("want KIND INTERFACE CPU..., got %q", args)}
			}
			var cpus []int
			for _, text := range args[2:] {
				cpu, err := strconv.Atoi(text)
				if err != nil {
					return usage{fmt.Errorf("cpu %q: %w", text, err)}
				}
				cpus = append(cpus, cpu)
			}
			return wire.Forward(c.Context, wire.ForwardKind(args[0]), args[1], cpus)
		},
	}
}
