package main

import (
	"fmt"
	"log/slog"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/control"
)

func detachCommand() *cli.Command {
	return &cli.Command{
		Name:  "detach",
		Usage: "take the XDP program and all pinned state of a dead director off this host",
		UsageText: `xlvs detach                          what xlvs run pins by default
xlvs detach --pin /sys/fs/bpf/other --socket /run/other.sock   another director's`,
		Description: "A director that crashed leaves its XDP program in place, so that a restart takes over\n" +
			"without a gap, and its tables, so that no client is lost. This removes both, and puts back\n" +
			"what busy polling and xlvs tune changed on interfaces. It touches nothing of other\n" +
			"programs, and refuses while a director is running.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "pin", Usage: "the `FOLDER` on bpffs that the director pinned to", Value: defaultPin},
			&cli.StringFlag{Name: "socket", Usage: "the control socket `PATH` of the director", Value: defaultSocket, EnvVars: []string{"XLVS_SOCKET"}},
		},
		Before: noArguments,
		Action: func(c *cli.Context) error {
			removed, err := bpf.Detach(c.String("pin"))
			for _, what := range removed {
				fmt.Fprintln(c.App.Writer, "removed", what)
			}
			var restored []string
			if err == nil { // no director is running
				restored, err = control.RestoreHost(c.String("socket"), slog.New(slog.NewTextHandler(c.App.Writer, nil)))
			}
			for _, what := range restored {
				fmt.Fprintln(c.App.Writer, "put back", what)
			}
			if err == nil && len(removed)+len(restored) == 0 {
				fmt.Fprintln(c.App.Writer, "nothing of xlvs was attached, pinned or changed")
			}
			return err
		},
	}
}
