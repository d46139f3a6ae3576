package demo

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// TestMain lets the test binary be a host's process too, as cmd/xlvs is.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == HostCommand {
		if err := Serve(context.Background(), os.Args[2], os.Args[3], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// testName is a demo's name that no other demo or test has.
func testName() string { return fmt.Sprintf("xlvs-test-%d", os.Getpid()) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
