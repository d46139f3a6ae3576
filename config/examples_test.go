package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExamplesAreGood(t *testing.T) {
	for _, path := range globAll(t, "../examples/*.yaml") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			c, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if w := c.Warnings(); len(w) > 0 && filepath.Base(path) != "reference.yaml" {
				t.Errorf("warnings:\n%v", w)
			}
			checkRoundTrip(t, c)
		})
	}
}

// TestReferenceDefaults checks that every line of the reference that is marked
// as a default can go without a difference.
func TestReferenceDefaults(t *testing.T) {
	data, err := os.ReadFile("../examples/reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	without, marked := removeDefaults(string(data))
	if marked < 50 {
		t.Errorf("only %d lines of the reference are marked as defaults", marked)
	}
	want, err := Parse("reference.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("without-defaults.yaml", []byte(without))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got.Marshal()), string(want.Marshal())); diff != "" {
		t.Errorf("a default in the reference is not the real one (-real +reference):\n%s", diff)
	}
}

// removeDefaults removes the lines marked as defaults, and all comments.
// Sections that have become empty are written as such.
func removeDefaults(text string) (rest string, marked int) {
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		code, comment, _ := strings.Cut(line, " #")
		switch {
		case strings.TrimSpace(code) == "" || strings.HasPrefix(strings.TrimSpace(line), "#"):
		case strings.HasPrefix(strings.TrimSpace(comment), "default"):
			marked++
			if before, _, ok := strings.Cut(code, "- "); ok { // the first key of a list's element
				lines = append(lines, before+"-")
			}
		default:
			lines = append(lines, strings.TrimRight(code, " "))
		}
	}
	indent := func(s string) int { return len(s) - len(strings.TrimLeft(s, " ")) }
	for i, line := range lines {
		if strings.HasSuffix(line, ":") && (i+1 == len(lines) || indent(lines[i+1]) <= indent(line)) {
			lines[i] += " {}"
		}
	}
	return strings.Join(lines, "\n"), marked
}

// TestReferenceIsComplete checks that the reference has every key that the
// package reads.
func TestReferenceIsComplete(t *testing.T) {
	data, err := os.ReadFile("../examples/reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	keys := keysRead(t)
	if len(keys) < 70 {
		t.Errorf("only %d keys found in the sources", len(keys))
	}
	for key := range keys {
		if !regexp.MustCompile(`(?m)^[^#]*\b` + key + `:`).Match(data) {
			t.Errorf("key %s is not in the reference", key)
		}
	}
}

// keysRead is every key that the sources give to value.fields.
func keysRead(t *testing.T) map[string]bool {
	t.Helper()
	keys, constants := map[string]bool{}, map[string]string{}
	var args []ast.Expr
	for _, path := range globAll(t, "*.go") {
		source, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(source, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if i < len(n.Values) {
						constants[name.Name] = literal(n.Values[i])
					}
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "fields" && len(n.Args) > 1 {
					args = append(args, n.Args[1:]...)
				}
			}
			return true
		})
	}
	for _, arg := range args {
		if name, ok := arg.(*ast.Ident); ok {
			keys[constants[name.Name]] = true
		} else {
			keys[literal(arg)] = true
		}
	}
	return keys
}

func literal(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		s, _ := strconv.Unquote(lit.Value)
		return s
	}
	return ""
}
