package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// promised is how long a whole demo may take.
const promised = 40 * time.Second

// TestDemo builds the program and lets it prove itself.
func TestDemo(t *testing.T) {
	executable := program(t)
	var out, progress bytes.Buffer
	began := time.Now()
	result, err := Run(context.Background(), Options{JSON: true, Out: &out, Err: &progress, Executable: executable, Name: testName()})
	took := time.Since(began)
	t.Logf("%s", progress.String())
	must(t, err)
	if !result.OK {
		t.Error("the demo failed")
	}
	if took > promised {
		t.Errorf("it took %v, more than %v", took, promised)
	}
	if result.Requests < 1000 || len(result.Checks) != len(Options{}.order()) {
		t.Errorf("%d requests, %d checks", result.Requests, len(result.Checks))
	}
	var printed Result
	d := json.NewDecoder(&out)
	d.DisallowUnknownFields()
	must(t, d.Decode(&printed))
	if diff := cmp.Diff(result, printed); diff != "" {
		t.Error(diff)
	}
	if err := d.Decode(&printed); !errors.Is(err, io.EOF) {
		t.Errorf("there is more than one object on standard output: %v", err)
	}
	p := paths{testName()}
	for _, path := range []string{p.dir(), p.pin(), filepath.Join("/run/netns", namespaceName(testName(), directorName))} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
}

// program is cmd/xlvs, built once.
func program(t *testing.T) string {
	t.Helper()
	path, err := buildProgram()
	must(t, err)
	return path
}

// A demo that is interrupted leaves nothing.
func TestInterruptedDemo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	result, err := Run(ctx, Options{Out: onWrite(cancel), Err: io.Discard, Executable: program(t), Name: testName()})
	must(t, err)
	if result.OK {
		t.Error("a demo that was interrupted passed")
	}
	if removed, err := clean(testName()); removed || err != nil {
		t.Errorf("it left something: %t, %v", removed, err)
	}
}

// onWrite calls a function when the first check is reported.
type onWrite func()

func (f onWrite) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("ok  ")) {
		f()
	}
	return len(p), nil
}

// A demo that is kept works on after its process, and is found and removed.
func TestKeptDemo(t *testing.T) {
	ctx := testContext(t)
	b, err := newBed(ctx, testName(), program(t))
	must(t, err)
	must(t, b.director.start(ctx, initial()))
	clients := b.clients[:4]
	if met, err := b.ask(ctx, clients); err != nil {
		t.Errorf("%s: %v", met, err)
	}
	must(t, b.keep())
	list, err := exec.Command(program(t), "list", "--socket", b.paths.socket()).CombinedOutput()
	if err != nil || !bytes.Contains(list, []byte("FWM")) {
		t.Errorf("list: %v\n%s", err, list)
	}
	if removed, err := clean(testName()); !removed || err != nil {
		t.Errorf("removed %t, %v", removed, err)
	}
	if err := b.director.process.Wait(); err != nil {
		t.Errorf("the director: %v", err)
	}
	if _, err := os.Stat(b.paths.pin()); err == nil {
		t.Errorf("%s is still there", b.paths.pin())
	}
}

// A demo that cannot be set up says so as a failed check, and leaves nothing.
func TestDemoThatCannotStart(t *testing.T) {
	var out, progress bytes.Buffer
	result, err := Run(context.Background(), Options{JSON: true, Out: &out, Err: &progress, Executable: "/bin/false", Name: testName()})
	must(t, err)
	if result.OK || result.Checks[0].OK || result.Checks[0].Name != setUp {
		t.Errorf("result %+v", result)
	}
	for _, c := range result.Checks[1:] {
		if c.OK || c.Detail != notReached {
			t.Errorf("check %+v", c)
		}
	}
	if !json.Valid(out.Bytes()) {
		t.Errorf("standard output: %s", out.String())
	}
	if removed, err := clean(testName()); removed || err != nil {
		t.Errorf("it left something: %t, %v", removed, err)
	}
}
