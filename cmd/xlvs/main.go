// Command xlvs is LVS in userspace: a layer-4 load balancer with firewall marks
// and persistence on AF_XDP sockets. This package only wires flags to the
// packages that do the work, one file a subcommand.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Exit codes.
const (
	exitFailure = 1 // what was asked for did not work
	exitUsage   = 2 // it was not asked for in a way that can be understood
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// run is main with its world passed in. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := &cli.App{
		Name:  "xlvs",
		Usage: "LVS in userspace: firewall marks and persistence at AF_XDP speed",
		Description: "A director takes frames from the network cards by AF_XDP, keeps every client on its\n" +
			"real server, and sends the same frame on by direct routing.",
		HideVersion: true,
		Suggest:     true,
		Writer:      stdout,
		ErrWriter:   stderr,
		Commands: []*cli.Command{
			runCommand(), checkCommand(), listCommand(), detachCommand(), demoCommand(), demoHostCommand(), benchCommand(), tuneCommand(), versionCommand(),
		},
		CommandNotFound: func(c *cli.Context, name string) {
			fmt.Fprintf(stderr, "xlvs: no command %q; see xlvs --help\n", name)
		},
		OnUsageError:   usageError,
		ExitErrHandler: func(*cli.Context, error) {}, // exit codes are run's to give
	}
	app.Action = func(c *cli.Context) error {
		if c.Args().Present() {
			return usage{fmt.Errorf("no command %q; see xlvs --help", c.Args().First())}
		}
		return cli.ShowAppHelp(c)
	}
	settle(app.Commands)
	err := app.RunContext(ctx, args)
	var wrong usage
	switch {
	case err == nil:
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintln(stderr, "xlvs:", err)
		return exitUsage
	case err.Error() != "": // a command that has said everything returns an empty error
		fmt.Fprintln(stderr, "xlvs:", err)
	}
	return exitFailure
}

// settle gives commands and the commands below them what they share.
func settle(commands []*cli.Command) {
	for _, command := range commands {
		command.OnUsageError = usageError
		command.HideHelpCommand = true
		settle(command.Subcommands)
	}
}

// usage marks an error of the command line itself.
type usage struct{ error }

// errSaid is the error of a command that has printed what is wrong.
var errSaid = errors.New("")

func usageError(_ *cli.Context, err error, _ bool) error { return usage{err} }

// noArguments refuses arguments that a command does not take.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usage{fmt.Errorf("%s takes no argument, but got %q", c.Command.Name, c.Args().First())}
	}
	return nil
}

// configFlag is -c FILE.
func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "read the configuration from `FILE`", TakesFile: true}
}

// needConfig refuses a command line without -c.
func needConfig(c *cli.Context) error {
	if c.String("config") == "" {
		return usage{fmt.Errorf("%s needs a configuration: -c FILE", c.Command.Name)}
	}
	return noArguments(c)
}

// socketFlag is --socket PATH.
func socketFlag() cli.Flag {
	return &cli.StringFlag{Name: "socket", Usage: "talk to the director at the control socket `PATH`",
		Value: defaultSocket, EnvVars: []string{"XLVS_SOCKET"}}
}
