package main

import (
	"fmt"
	"runtime"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/control"
)

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "print the version, the Go release and the platform",
		UsageText: "xlvs version",
		Before:    noArguments,
		Action: func(c *cli.Context) error {
			_, err := fmt.Fprintf(c.App.Writer, "xlvs %s %s %s/%s\n", control.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
