package wire

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/control"
)

// TestMain lets the test binary be what Options.Self is: the director, and the
// forwarders.
func TestMain(m *testing.M) {
	if err := beXlvs(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func beXlvs(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case len(args) > 2 && args[0] == "run":
		var cfg *config.Config
		if cfg, err = config.Load(args[2]); err == nil {
			err = control.Run(ctx, control.Options{Config: cfg, Ephemeral: true, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
		}
	case len(args) > 5 && slices.Equal(args[:3], ForwardCommand):
		var cpu int
		if cpu, err = strconv.Atoi(args[5]); err == nil {
			err = Forward(ctx, ForwardKind(args[3]), args[4], []int{cpu})
		}
	default:
		return nil
	}
	if err == nil {
		os.Exit(0)
	}
	return err
}
