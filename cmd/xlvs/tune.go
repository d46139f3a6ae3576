package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/perf/tune"
)

func tuneCommand() *cli.Command {
	return &cli.Command{
		Name:  "tune",
		Usage: "show, change and search the settings that decide how fast the director is",
		UsageText: `xlvs tune show                       settings, interfaces, and what is unwise about them
xlvs tune set batch=128 spin=off     change settings of the running director
xlvs tune search --write FILE        try settings under load and write those that won`,
		Subcommands: []*cli.Command{tuneShowCommand(), tuneSetCommand(), tuneSearchCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage{fmt.Errorf("tune has no command %q: show, set or search", c.Args().First())}
			}
			return usage{errors.New("tune needs a command: show, set or search")}
		},
	}
}

func tuneShowCommand() *cli.Command {
	return &cli.Command{
		Name:  "show",
		Usage: "show how director and interfaces are tuned, and what is unwise",
		UsageText: `xlvs tune show
xlvs tune show --json | jq '.advice[] | select(.severity == "warning")'`,
		Description: "Asks the running director, and the kernel about its interfaces: rings, batch, busy polling,\n" +
			"workers, queues and receive hashing, offloads, coalescing, NAPI, interrupts. Each piece of\n" +
			"advice says why, and what to do. Changes nothing. Rules: " + strings.Join(tune.Rules(), ", ") + ".",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}, socketFlag()},
		Before: noArguments,
		Action: func(c *cli.Context) error {
			facts, err := tune.Gather(c.Context, control.NewClient(c.String("socket")))
			if err != nil {
				return err
			}
			advice := tune.Advise(facts)
			if c.Bool("json") {
				p := &printer{w: c.App.Writer}
				return p.object(struct {
					*tune.Facts
					Advice []tune.Advice `json:"advice"`
				}{facts, advice})
			}
			return tune.Print(c.App.Writer, facts, advice)
		},
	}
}

func tuneSetCommand() *cli.Command {
	var keys strings.Builder
	for _, k := range tune.Keys() {
		fmt.Fprintf(&keys, "  %-28s %s\n", k.Name, k.Values)
	}
	fmt.Fprintf(&keys, "  %-28s %s\n", "coalescing.INTERFACE.KEY", strings.Join(tune.CoalescingKeys, ", "))
	fmt.Fprintf(&keys, "  %-28s %s\n", "coalescing.INTERFACE", "before: as it was")
	return &cli.Command{
		Name:      "set",
		Usage:     "change settings of the running director",
		ArgsUsage: "KEY=VALUE...",
		UsageText: `xlvs tune set batch=128 transmit_budget=1024
xlvs tune set busy_poll=on busy_poll.microseconds=50
xlvs tune set cpus=2,4-5
xlvs tune set coalescing.eth0.rx_usecs=20`,
		Description: "All of the settings are taken, or none. Frames go on flowing. They last until the director\n" +
			"ends; the configuration file is not touched, and what to write there is printed. What is\n" +
			"changed on interfaces is put back when the director ends.\n\n" + keys.String(),
		Flags: []cli.Flag{socketFlag()},
		Action: func(c *cli.Context) error {
			settings, err := tune.Parse(c.Args().Slice())
			if err != nil {
				return usage{err}
			}
			now, err := control.NewClient(c.String("socket")).Tune(c.Context, settings, 0)
			if err != nil {
				return err
			}
			if yaml := tune.YAML(settings, &now.Settings); yaml != "" {
				fmt.Fprintf(c.App.Writer, "In force until the director ends. To keep it, write into the configuration:\n\n%s", yaml)
			}
			if len(settings.Coalescing) > 0 {
				fmt.Fprintln(c.App.Writer, "Coalescing is put back when the director ends. To keep it, use ethtool -C where the host sets up its network.")
			}
			return nil
		},
	}
}
