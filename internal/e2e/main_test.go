package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/control"
)

// A child that has directorEnv is a director with that configuration file. It
// is this very binary, so that a test with the race detector has it in the
// director too.
const (
	directorEnv = "XLVS_E2E_DIRECTOR"
	optionsEnv  = "XLVS_E2E_OPTIONS" // of the options ephemeral, replace and fresh-tables
)

func TestMain(m *testing.M) {
	path := os.Getenv(directorEnv)
	if path == "" {
		flag.Set("test.parallel", "4") //nolint:errcheck // it exists; the tests wait more than they work
		os.Exit(m.Run())
	}
	if err := runDirector(path, os.Getenv(optionsEnv)); err != nil {
		fmt.Fprintln(os.Stderr, "xlvs:", err)
		os.Exit(1)
	}
}

// runDirector does what the command xlvs run does, and then looks for what is
// left of it in the process.
func runDirector(path, options string) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	go dieWithTest()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	before := goleak.IgnoreCurrent()
	err = control.Run(ctx, control.Options{
		Config:      cfg,
		Load:        func() (*config.Config, error) { return config.Load(path) },
		Reload:      reload,
		Ephemeral:   strings.Contains(options, "ephemeral"),
		Replace:     strings.Contains(options, "replace"),
		FreshTables: strings.Contains(options, "fresh-tables"),
		Logger:      slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		return err
	}
	return goleak.Find(before, goleak.IgnoreTopFunction("time.Sleep"))
}

// dieWithTest ends the director when the test's end of standard input closes,
// however the test ends.
func dieWithTest() {
	io.Copy(io.Discard, os.Stdin) //nolint:errcheck // any end is an end
	time.Sleep(time.Second)
	os.Exit(3)
}
