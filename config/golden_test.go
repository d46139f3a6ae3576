package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is found into testdata as what is expected")

// TestBad compares what is said about each bad file, one for each rule.
func TestBad(t *testing.T) {
	for _, path := range globAll(t, "testdata/*.bad.yml") {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".bad.yml"), func(t *testing.T) {
			c, err := Load(path)
			if c != nil {
				t.Errorf("a configuration beside the error")
			}
			var all Errors
			if !errors.As(err, &all) {
				t.Fatalf("error is %T, want Errors: %v", err, err)
			}
			for _, e := range all {
				if e.Excerpt == "" || e.File != path || e.Line < 1 || e.Column < 1 {
					t.Errorf("no place or excerpt in %#v", e)
				}
			}
			golden(t, strings.TrimSuffix(path, ".yml")+".golden", strings.ReplaceAll(err.Error(), "testdata/", "")+"\n")
		})
	}
}

// TestGood compares what becomes of each good file, and what is warned of.
func TestGood(t *testing.T) {
	for _, path := range globAll(t, "testdata/*.good.yml") {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".good.yml"), func(t *testing.T) {
			c, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, w := range c.Warnings() {
				b.WriteString("# warning: " + strings.ReplaceAll(w.Error(), "testdata/", "") + "\n")
			}
			b.Write(c.Marshal())
			golden(t, strings.TrimSuffix(path, ".yml")+".golden", b.String())
			checkRoundTrip(t, c)
		})
	}
}

// checkRoundTrip checks that the canonical form of a configuration is one, and
// means the same.
func checkRoundTrip(t *testing.T, c *Config) {
	t.Helper()
	again, err := Parse("marshalled", c.Marshal())
	if err != nil {
		t.Fatalf("what Marshal wrote is refused:\n%v", err)
	}
	if !Equal(c, again) {
		t.Fatalf("differs after Marshal and Parse:\n%s", cmp.Diff(string(c.Marshal()), string(again.Marshal())))
	}
	if changes := Diff(c, again); len(changes) > 0 {
		t.Fatalf("Diff of equal configurations: %v", changes)
	}
}

func globAll(tb testing.TB, pattern string) []string {
	tb.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no files %s: %v", pattern, err)
	}
	return paths
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
