package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"unicode"
)

// FuzzParse checks, for any text: there is either a configuration or errors;
// every error has a place in the text, a message of one line and an excerpt fit
// for a terminal; a configuration has a canonical form that means the same.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.good.yml", "testdata/*.bad.yml", "../examples/*.yaml"} {
		for _, path := range globAll(f, pattern) {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yaml", data)
		if (c == nil) == (err == nil) {
			t.Fatalf("configuration %v, error %v", c, err)
		}
		if err != nil {
			var all Errors
			if !errors.As(err, &all) || len(all) == 0 {
				t.Fatalf("error is %T %v, want Errors", err, err)
			}
			checkErrors(t, all, data)
			return
		}
		checkErrors(t, c.Warnings(), data)
		checkRoundTrip(t, c)
	})
}

func checkErrors(t *testing.T, all Errors, data []byte) {
	t.Helper()
	lines := len(splitLines(string(data)))
	for i, e := range all {
		if e.Line < 1 || e.Line > lines+1 || e.Column < 1 {
			t.Errorf("place %d:%d is not in a text of %d lines: %v", e.Line, e.Column, lines, e)
		}
		if i > 0 && e.Line < all[i-1].Line {
			t.Errorf("line %d after line %d", e.Line, all[i-1].Line)
		}
		if strings.ContainsFunc(e.Message, notPrintable) {
			t.Errorf("message %q", e.Message)
		}
		for _, line := range strings.Split(e.Excerpt, "\n") {
			if strings.ContainsFunc(line, func(c rune) bool { return !unicode.IsPrint(c) }) || len([]rune(line)) > 2*excerptWidth {
				t.Errorf("line %q of an excerpt", line)
			}
		}
	}
}
