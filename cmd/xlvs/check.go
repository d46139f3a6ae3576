package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/config"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "read a configuration and report everything that is wrong with it",
		UsageText: "xlvs check -c FILE",
		Description: "Prints each error as file:line:column: what is wrong, and what to do, with the lines it\n" +
			"is about, and exits with status 1. Nothing on the host is looked at or changed.\n\n" +
			"Example: xlvs check -c /etc/xlvs.yaml && systemctl reload xlvs",
		Flags:  []cli.Flag{configFlag()},
		Before: needConfig,
		Action: func(c *cli.Context) error {
			cfg, err := load(c, c.String("config"))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.App.Writer, "%s: good: %d services, %d mark rules\n",
				c.String("config"), len(cfg.Services), len(cfg.Marks))
			return err
		},
	}
}

// load reads a configuration; what is wrong with it goes to the error output.
func load(c *cli.Context, path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	var all config.Errors
	if errors.As(err, &all) {
		fmt.Fprintln(c.App.ErrWriter, all.Error())
		return nil, errSaid
	}
	if err != nil {
		return nil, err
	}
	for _, w := range cfg.Warnings() {
		fmt.Fprintln(c.App.ErrWriter, "warning:", config.Errors{w}.Error())
	}
	return cfg, nil
}
