package main

import (
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/control"
)

// Where a director keeps things unless its configuration says otherwise.
const (
	defaultSocket = "/run/xlvs/xlvs.sock"
	defaultPin    = "/sys/fs/bpf/xlvs"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "run the director",
		UsageText: `xlvs run -c /etc/xlvs.yaml
xlvs run -c test.yaml --ephemeral     leave nothing behind, even after SIGKILL
xlvs run -c new.yaml --fresh-tables   start with empty tables of the configured size`,
		Description: "Runs in the foreground and logs to standard error. SIGHUP reads the configuration again: a\n" +
			"bad one is reported and changes nothing. SIGTERM and SIGINT stop cleanly and take away what\n" +
			"was put on the host. After a crash or SIGKILL the XDP program and the tables stay: the next\n" +
			"run carries on every connection. Tells systemd when it is ready (Type=notify-reload).",
		Flags: []cli.Flag{
			configFlag(),
			&cli.BoolFlag{Name: "ephemeral", Usage: "pin nothing: program and tables go with the process"},
			&cli.BoolFlag{Name: "replace", Usage: "displace another XDP program that is on an interface"},
			&cli.BoolFlag{Name: "fresh-tables", Usage: "forget the connections and templates of a former run"},
		},
		Before: needConfig,
		Action: runDirector,
	}
}

func runDirector(c *cli.Context) error {
	path := c.String("config")
	cfg, err := load(c, path)
	if err != nil {
		return err
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		return err // config knows the words
	}
	return control.Run(c.Context, control.Options{
		Config:      cfg,
		Load:        func() (*config.Config, error) { return config.Load(path) },
		Reload:      reload,
		Ephemeral:   c.Bool("ephemeral"),
		Replace:     c.Bool("replace"),
		FreshTables: c.Bool("fresh-tables"),
		Logger:      newLogger(c.App.ErrWriter, cfg.Log.Format, level),
		LogLevel:    level,
	})
}

// newLogger logs in a format of the configuration, from a level on that may change.
func newLogger(w io.Writer, format string, level *slog.LevelVar) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
