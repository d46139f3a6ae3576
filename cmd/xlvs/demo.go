package main

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/internal/demo"
)

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "show the director at work on real traffic between network namespaces",
		UsageText: `xlvs demo            under 40 seconds; exit status 1 if any line fails
xlvs demo --json     one JSON object on standard output, progress on standard error
xlvs demo --keep     leave the namespaces and the director up to play with
xlvs demo --clean    remove what --keep left`,
		Description: "Needs root and nothing else. Makes a director, three real servers (HTTP, HTTPS, FTP, UDP)\n" +
			"and clients in three /24 networks and two /64s, all in namespaces of its own, and proves\n" +
			"line by line what persistence and firewall marks promise.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object instead of the report"},
			&cli.BoolFlag{Name: "keep", Usage: "leave everything up at the end"},
			&cli.BoolFlag{Name: "clean", Usage: "remove what a demo with --keep left, and do nothing else"},
		},
		Subcommands: []*cli.Command{{
			// The demo's hosts are processes of their own, each in its namespace.
			Name: "serve", Hidden: true, UsageText: "xlvs demo serve ROLE FOLDER",
			Action: func(c *cli.Context) error {
				return demo.Serve(c.Context, c.Args().Get(0), c.Args().Get(1), os.Stdin, c.App.Writer)
			},
		}},
		Before: noArguments,
		Action: func(c *cli.Context) error {
			executable, err := os.Executable()
			if err != nil {
				return err
			}
			if c.Bool("clean") {
				return demo.Clean(c.App.Writer)
			}
			result, err := demo.Run(c.Context, demo.Options{
				JSON: c.Bool("json"), Keep: c.Bool("keep"),
				Out: c.App.Writer, Err: c.App.ErrWriter, Executable: executable,
			})
			if err != nil {
				return err
			}
			if !result.OK {
				return errSaid
			}
			return nil
		},
	}
}

// demoHostCommand is a host of the demo, which starts it in the host's namespace.
func demoHostCommand() *cli.Command {
	return &cli.Command{
		Name:   demo.HostCommand,
		Hidden: true,
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return usage{fmt.Errorf("%s is for the demo to call, with a name and a folder", demo.HostCommand)}
			}
			return demo.Serve(c.Context, c.Args().Get(0), c.Args().Get(1), os.Stdin, c.App.Writer)
		},
	}
}
