package tune

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/control"
)

// A child that has directorEnv is a director: run -c FILE [--ephemeral], as the
// command xlvs has it. It is this very binary, so that a test with the race
// detector has it in the director too.
const directorEnv = "XLVS_TUNE_DIRECTOR"

func TestMain(m *testing.M) {
	if os.Getenv(directorEnv) == "" {
		os.Exit(m.Run())
	}
	if err := runDirector(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "xlvs:", err)
		os.Exit(1)
	}
}

func runDirector(args []string) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	path, ephemeral := flags.String("c", "", ""), flags.Bool("ephemeral", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg, err := config.Load(*path)
	if err != nil {
		return err
	}
	if !*ephemeral {
		go dieWithTest()
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	level := new(slog.LevelVar)
	return control.Run(ctx, control.Options{
		Config: cfg, Load: func() (*config.Config, error) { return config.Load(*path) }, Reload: reload, Ephemeral: *ephemeral,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), LogLevel: level,
	})
}

// dieWithTest ends the director when the test's end of standard input closes,
// however the test ends.
func dieWithTest() {
	io.Copy(io.Discard, os.Stdin) //nolint:errcheck // any end is an end
	time.Sleep(time.Second)
	os.Exit(3)
}
