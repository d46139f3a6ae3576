package main

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/perf/wire"
)

func benchGenerateCommand() *cli.Command {
	return &cli.Command{
		Name:  "generate",
		Usage: "send to a balancer on another box, and measure what comes back (root)",
		UsageText: `xlvs bench generate --interface eth1 --mac 02:00:00:00:00:02 --vip 198.51.100.10:80
xlvs bench generate --interface eth1 --mac 02:00:00:00:00:02 --vip 198.51.100.10:80 --queues 8 --repeat 1 --json`,
		Description: "For two boxes and a cable. On this one, give the interface the addresses of the servers; on\n" +
			"the other one put a balancer with these servers on the cable, by hand or with\n" +
			"\"xlvs bench wire --interface\". Frames come from 198.18.0.0/15 and go to --vip; what the\n" +
			"balancer sends to the servers is counted and dropped before this box's kernel sees it.\n" +
			"The driver must be able to send what XDP programs redirect.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "interface", Usage: "send from `NAME`"},
			&cli.StringFlag{Name: "mac", Usage: "to the balancer at `MAC`"},
			&cli.StringFlag{Name: "vip", Usage: "`ADDRESS:PORT` of its service"},
		}, benchTrialFlags()...),
		Action: benchGenerate,
	}
}

func benchGenerate(c *cli.Context) error {
	options, err := benchTrialOptions(c)
	if err != nil {
		return err
	}
	if err := options.Validate(); err != nil {
		return usage{err}
	}
	remote := wire.Remote{Interface: c.String("interface")}
	if remote.Interface == "" {
		return usage{fmt.Errorf("generate needs an interface to send from: --interface NAME")}
	}
	if remote.MAC, err = net.ParseMAC(c.String("mac")); err != nil {
		return usage{fmt.Errorf("--mac %q: want the balancer's, six bytes in hexadecimal", c.String("mac"))}
	}
	if remote.VIP, err = netip.ParseAddrPort(c.String("vip")); err != nil {
		return usage{fmt.Errorf("--vip %q: want an IPv4 address and a port", c.String("vip"))}
	}
	o, err := beginBench(c)
	if err != nil {
		return err
	}
	options.Progress = o.wireProgress()
	found, err := wire.Generate(c.Context, remote, options)
	return o.endWire(found, err)
}
