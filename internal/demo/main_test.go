package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
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
	code := m.Run()
	os.RemoveAll(programDir)
	os.Exit(code)
}

// programDir holds the program once it is built.
var programDir string

// buildProgram builds cmd/xlvs and returns its path.
var buildProgram = sync.OnceValues(func() (path string, err error) {
	if programDir, err = os.MkdirTemp("", "xlvs-demo-test"); err != nil {
		return "", err
	}
	path = filepath.Join(programDir, "xlvs")
	output, err := exec.Command("go", "build", "-o", path, "github.com/xlvs/xlvs/cmd/xlvs").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, output)
	}
	return path, nil
})

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
