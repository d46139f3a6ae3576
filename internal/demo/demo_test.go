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
	executable := buildProgram(t)
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

func buildProgram(t *testing.T) string {
	t.Helper()
	executable := filepath.Join(t.TempDir(), "xlvs")
	output, err := exec.Command("go", "build", "-o", executable, "github.com/xlvs/xlvs/cmd/xlvs").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	return executable
}
