package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/bpf"
)

func detachCommand() *cli.Command {
	return &cli.Command{
		Name:  "detach",
		Usage: "take the XDP program and all pinned state of a dead director off this host",
		UsageText: `xlvs detach                          what xlvs run pins by default
xlvs detach --pin /sys/fs/bpf/other   another director's`,
		Description: "A director that crashed leaves its XDP program in place, so that a restart takes over\n" +
			"without a gap, and its tables, so that no client is lost. This removes both. It touches\n" +
			"nothing of other programs, and refuses while a director is running.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "pin", Usage: "the `FOLDER` on bpffs that the director pinned to", Value: defaultPin},
		},
		Before: noArguments,
		Action: func(c *cli.Context) error {
			removed, err := bpf.Detach(c.String("pin"))
			for _, what := range removed {
				fmt.Fprintln(c.App.Writer, "removed", what)
			}
			if err == nil && len(removed) == 0 {
				fmt.Fprintln(c.App.Writer, "nothing of xlvs was attached or pinned")
			}
			return err
		},
	}
}
