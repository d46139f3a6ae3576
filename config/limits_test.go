package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestHostileText gives Parse what would exhaust a recursive parser's stack, or
// its patience. Each must end in errors, none in a panic.
func TestHostileText(t *testing.T) {
	const n = 1 << 14
	deep := func(unit string) string { return strings.Repeat(unit, n) }
	texts := map[string]string{
		"lists in brackets":         deep("["),
		"sets in braces":            deep("{a: "),
		"lists on one line":         deep("- "),
		"keys on one line":          deep("a: "),
		"keys on lines":             deep("a:\n"),
		"keys in braces":            "{" + deep("a: 1, ") + "}",
		"explicit keys":             deep("? "),
		"explicit keys in a list":   "[" + deep("? "),
		"colons in a list":          "[" + deep(": ") + "]",
		"anchors":                   deep("&a "),
		"anchored keys":             deep("&a a: "),
		"tags":                      deep("!a "),
		"aliases":                   "x: " + deep("*a "),
		"quotes and brackets":       deep("['"),
		"colons":                    deep(":"),
		"documents":                 deep("---\n"),
		"an open string":            `"` + deep("a"),
		"directives":                deep("%a\n"),
		"indentation":               indented(300),
		"carriage returns":          deep("\r"),
		"a key of its own alias":    "interfaces: &a [*a]",
		"not text":                  "\xff\xfe\x00",
		"a null byte":               "interfaces: [{name: \"a\x00b\"}]",
		"a key that is a set":       "{[a]: b}",
		"a key that is a number":    "1: 2",
		"a key that is null":        "~: 2",
		"a file too large":          strings.Repeat("#", maxFileSize+1),
		"more errors than reported": "interfaces: [{name: eth0}]\nservices: [" + deep("{},") + "]",
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			c, err := Parse("hostile.yaml", []byte(text))
			all, ok := err.(Errors)
			if c != nil || !ok {
				t.Fatalf("configuration %v, error %v", c, err)
			}
			if len(all) == 0 || len(all) > maxErrors {
				t.Errorf("%d errors", len(all))
			}
		})
	}
}

func indented(levels int) string {
	var b strings.Builder
	for i := range levels {
		fmt.Fprintf(&b, "%*sa:\n", i, "")
	}
	return b.String()
}

// TestAliasesMultiply checks that a small file cannot stand for an endless one.
func TestAliasesMultiply(t *testing.T) {
	var b strings.Builder
	b.WriteString("interfaces: [{name: eth0}]\nservices:\n  - &s\n    fwmark: 1\n    servers: [&r {address: 10.0.0.1}")
	b.WriteString(strings.Repeat(", *r", 3000))
	b.WriteString("]\n")
	b.WriteString(strings.Repeat("  - *s\n", 3000))
	_, err := Parse("aliases.yaml", []byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "write less by alias") {
		t.Fatalf("error %.2000v", err)
	}
	if n := len(err.(Errors)); n > 4 {
		t.Errorf("%d errors of one line: the same is told again", n)
	}
}

// TestLargeFile checks that a file of a large site is read whole.
func TestLargeFile(t *testing.T) {
	const services, servers = 500, 10
	var b strings.Builder
	b.WriteString("interfaces: [{name: eth0}]\nservices:\n")
	for i := range services {
		fmt.Fprintf(&b, "  - address: 203.0.%d.%d\n    protocol: tcp\n    port: 80\n    servers:\n", i/250, i%250)
		for j := range servers {
			fmt.Fprintf(&b, "      - {address: 10.0.%d.%d, weight: %d}\n", i%250, j+1, j)
		}
	}
	c := mustParse(t, b.String())
	if len(c.Services) != services || len(c.Services[services-1].Servers) != servers {
		t.Errorf("%d services", len(c.Services))
	}
}
