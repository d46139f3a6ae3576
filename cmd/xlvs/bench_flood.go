package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/perf/flood"
	"github.com/xlvs/xlvs/perf/result"
)

func benchFloodCommand() *cli.Command {
	return &cli.Command{
		Name:  "flood",
		Usage: "spoofed frames beside real clients: who is lost, moved or refused (root)",
		UsageText: `xlvs bench flood                                      10,000 and 100,000 frames a second
xlvs bench flood --kinds syn-ack --rates 0 --duration 1m    as many as a core sends
xlvs bench flood --links own,shared --json
xlvs bench flood --program ./xlvs-old                 another build of the director`,
		Description: "Makes namespaces with a director, three servers, real clients and an attacker. The attacker\n" +
			"sends from invented addresses. Clients keep connections open and talk; others come anew and\n" +
			"check that they meet the server that they met before. Kinds of floods:\n" +
			"  " + strings.Join(flood.Kinds(), ", ") + "\n" +
			"lost: open connections that broke. moved: that changed their server. elsewhere: clients that\n" +
			"came back to another server. served: new connections, of 100, before, during and after the flood.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "kinds", Usage: "`NAMES` of floods", Value: cli.NewStringSlice("syn", "syn-ack", "udp-2", "syn-ack-6")},
			&cli.IntSliceFlag{Name: "rates", Usage: "frames a second, `NUMBERS`; 0: all that a core sends", Value: cli.NewIntSlice(10_000, 100_000)},
			&cli.StringSliceFlag{Name: "links", Usage: "`WHERE` the attacker is: own, shared", Value: cli.NewStringSlice("own")},
			&cli.DurationFlag{Name: "duration", Usage: "`TIME` of a flood", Value: 15 * time.Second},
			&cli.DurationFlag{Name: "before", Usage: "`TIME` that clients are there already", Value: 3 * time.Second},
			&cli.DurationFlag{Name: "after", Usage: "`TIME` that new clients are counted afterwards", Value: 10 * time.Second},
			&cli.IntFlag{Name: "long", Usage: "`NUMBER` of connections that stay open", Value: 60},
			&cli.IntFlag{Name: "new", Usage: "`NUMBER` of new connections a second", Value: 20},
			&cli.IntFlag{Name: "clients", Usage: "`NUMBER` of addresses that clients have", Value: 60},
			&cli.StringFlag{Name: "tables", Usage: "what the configuration has under tables, as `YAML`", DefaultText: "the defaults"},
			&cli.StringFlag{Name: "express", Usage: "auto, on or off, `WHETHER` there is an express lane", Value: "auto"},
			&cli.StringFlag{Name: "program", Usage: "another build of xlvs, at `PATH`", DefaultText: "this one", TakesFile: true},
			&cli.BoolFlag{Name: "json", Usage: "print results as JSON"},
		},
		Action: benchFlood,
	}
}

func benchFlood(c *cli.Context) error {
	options := flood.Options{
		Kinds: c.StringSlice("kinds"), Rates: c.IntSlice("rates"), Links: c.StringSlice("links"),
		Duration: c.Duration("duration"), Before: c.Duration("before"), After: c.Duration("after"),
		Long: c.Int("long"), New: c.Int("new"), Clients: c.Int("clients"),
		Program: c.String("program"), Tables: c.String("tables"), Express: c.String("express"),
	}
	if err := options.Validate(); err != nil {
		return usage{err}
	}
	if options.Program == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		options.Program = self
	}
	o, err := beginBench(c)
	if err != nil {
		return err
	}
	options.Progress = o.progress
	o.printf("%-10s %-6s %9s %10s  %5s %5s %9s %7s  %s\n", "flood", "link", "wanted/s", "sent/s", "lost", "moved", "elsewhere", "longest",
		"served before, during, after")
	options.Each = func(run *result.FloodRun) { o.printf("%s", floodLines(run)) }
	found, err := flood.Run(c.Context, options)
	if err != nil {
		return err
	}
	o.run.Flood = found
	return o.end()
}

// floodLines is one flood: its figures, and what the director warned of.
func floodLines(r *result.FloodRun) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%-10s %-6s %9d %10.0f  %5d %5d %9d %6.2fs  %s, %s, %s\n", r.Kind, r.Link, r.Rate, r.SentPerSecond,
		r.Lost, r.Moved, r.Elsewhere, r.LongestWait, served(r.Before), served(r.During), served(r.After))
	for _, line := range r.Warnings {
		fmt.Fprintf(&text, "    %s\n", line)
	}
	return text.String()
}

// served is how many of new connections were served, and how many slowly.
func served(n result.NewConnections) string {
	text := fmt.Sprintf("%d of %d", n.Served, n.Served+n.Refused)
	if n.Slow > 0 {
		text += fmt.Sprintf(" (%d slow)", n.Slow)
	}
	return text
}
