package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/neigh"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "read a configuration and report everything that is wrong with it",
		UsageText: "xlvs check -c FILE",
		Description: "Prints each error as file:line:column: what is wrong, and what to do, with the lines it\n" +
			"is about, and exits with status 1. Nothing on the host is changed. If it has the\n" +
			"interfaces, servers are warned of that its routes do not reach on a link.\n\n" +
			"Example: xlvs check -c /etc/xlvs.yaml && systemctl reload xlvs",
		Flags:  []cli.Flag{configFlag()},
		Before: needConfig,
		Action: func(c *cli.Context) error {
			cfg, err := load(c, c.String("config"))
			if err != nil {
				return err
			}
			warnRoutes(c.App.ErrWriter, c.String("config"), cfg)
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

// warnRoutes warns of real servers that are not on a link of this host. A configuration for
// another host, which has other interfaces, is not judged.
func warnRoutes(w io.Writer, path string, cfg *config.Config) {
	for _, i := range cfg.Interfaces {
		if _, err := net.InterfaceByName(i.Name); err != nil {
			return
		}
	}
	var servers []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, s := range cfg.Services {
		for _, r := range s.Servers {
			if !seen[r.Addr] {
				seen[r.Addr] = true
				servers = append(servers, r.Addr)
			}
		}
	}
	said, err := neigh.Survey(servers)
	if err != nil {
		return // without netlink there is nothing to warn of
	}
	for _, addr := range servers {
		if text := said[addr]; text != "" {
			fmt.Fprintf(w, "warning: %s: server not on link: %s\n", path, text)
		}
	}
}
