package pipeline

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xlvs/xlvs/dataplane"
)

// TestPrefixesCallWhatTheForwarderCalls reads the sources. What a prefix costs says
// nothing about the forwarder unless both do the same: make them alike if it fails.
func TestPrefixesCallWhatTheForwarderCalls(t *testing.T) {
	forwarder := readSource(t, "../../dataplane", "found", "carry", "decide", // what happens to a packet in the end
		"complete", "port") // for a port with partial checksums, which the harness has not
	walk := readSource(t, ".", "forward")
	want := without(forwarder.calls("Forwarder", "Forward"),
		"Load",                              // of the snapshot; there is one
		"SetFragment",                       // no packet is a fragment
		"SetTemplate", "Src.Is4", "Src.And", // the service has a mark, and is persistent for single addresses
	)
	got := without(walk.calls("walk", "run"),
		"Server", // keeps the compiler from dropping the lookup
	)
	if len(want) < 10 || !slices.Equal(got, want) {
		t.Errorf("the prefixes do\n  %s\nand the forwarder does\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func without(list []string, names ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return slices.Contains(names, s) })
}

// source is the functions of a package, by "name" or "Type.name".
type source struct {
	fset      *token.FileSet
	functions map[string]*ast.FuncDecl
	ends      []string // functions that are not looked into
}

func readSource(t *testing.T, dir string, ends ...string) *source {
	t.Helper()
	s := &source{fset: token.NewFileSet(), functions: map[string]*ast.FuncDecl{}, ends: ends}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		file, err := parser.ParseFile(s.fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && !strings.HasSuffix(path, "_test.go") {
				s.functions[typeOf(f)+f.Name.Name] = f
			}
		}
	}
	return s
}

// typeOf is the type that a method is of, with a dot.
func typeOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

// calls lists the exported functions that a method calls, in their order, with those
// that the package's own functions call in the places where these are called. In front
// of a Stage, or another of that name's kind, are the conditions that it is called under.
func (s *source) calls(of, method string) []string {
	f := s.functions[of+"."+method]
	if f == nil {
		return []string{"there is no " + of + "." + method}
	}
	c := &caller{source: s, of: of}
	c.function(f)
	return c.found
}

// caller follows the calls of a type's method.
type caller struct {
	*source
	of    string // the type
	self  string // its name in the function at hand
	found []string
}

func (c *caller) function(f *ast.FuncDecl) {
	before := c.self
	defer func() { c.self = before }()
	if c.self = ""; f.Recv != nil {
		c.self = f.Recv.List[0].Names[0].Name
	}
	ast.Inspect(f.Body, c.visit)
}

func (c *caller) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IfStmt:
		if len(n.Body.List) == 1 {
			c.condition("if", n.Body, n.Init, n.Cond)
		}
	case *ast.SwitchStmt:
		c.condition("switch", n.Body, n.Init, n.Tag)
	case *ast.CaseClause:
		for _, choice := range n.List {
			c.condition("case", &ast.BlockStmt{List: n.Body}, nil, choice)
		}
	case *ast.CallExpr:
		for _, argument := range n.Args { // are called before
			ast.Inspect(argument, c.visit)
		}
		c.call(c.text(n.Fun))
		return false
	}
	return true
}

// condition notes what a Stage in a body depends on.
func (c *caller) condition(kind string, body *ast.BlockStmt, init ast.Stmt, of ast.Expr) {
	if !strings.Contains(c.text(body), ".Stage") {
		return
	}
	for _, part := range []ast.Node{init, of} {
		if part != nil {
			kind += " " + strings.ReplaceAll(c.text(part), c.self+".", "")
		}
	}
	c.found = append(c.found, kind)
}

// call follows a call of name, or notes it.
func (c *caller) call(name string) {
	owner, method := cutLast(name)
	own := c.functions[name]
	if owner == c.self && owner != "" {
		own = c.functions[c.of+"."+method]
	}
	switch {
	case own != nil && slices.Contains(c.ends, method):
	case own != nil:
		c.function(own)
	case owner != "" && ast.IsExported(method):
		// A table's name says what is called, as a package's does; a local variable's does not.
		if _, field := cutLast(owner); ast.IsExported(field) || owner == "packet" {
			method = field + "." + method
		}
		c.found = append(c.found, method)
	}
}

// cutLast cuts at the last dot.
func cutLast(s string) (before, after string) {
	at := strings.LastIndexByte(s, '.')
	return s[:max(at, 0)], s[at+1:]
}

func (s *source) text(n ast.Node) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, s.fset, n); err != nil {
		return err.Error()
	}
	return b.String()
}

// TestPrefixesFindWhatTheForwarderMakes runs both over the same frames: the packets that
// the prefixes miss are those that the forwarder opens a connection for, under the keys
// that they looked for.
func TestPrefixesFindWhatTheForwarderMakes(t *testing.T) {
	for _, o := range []Options{
		{Flows: 5000},
		{Flows: 5000, Mix: 0.3},
		{Flows: 1, Mix: 1, Batch: 1, IPv6: true},
		{Flows: 5000, Mix: 0.7, Batch: 256, IPv6: true},
	} {
		h := opened(t, o)
		for range 10 {
			if checkBatch(t, h); t.Failed() {
				t.Fatalf("with %+v", o)
			}
		}
	}
}

func checkBatch(t *testing.T, h *harness) {
	t.Helper()
	w := &h.walk
	frames := h.arrivals.next(h.options.Batch)
	w.run(whole-1, frames)
	before := w.traffic()
	w.forward(frames)
	after := w.traffic()
	if w.refused > 0 || after.Packets-before.Packets != uint64(len(frames)) {
		t.Errorf("%d of %d packets refused, %d forwarded", w.refused, len(frames), after.Packets-before.Packets)
	}
	if opened := after.Connections - before.Connections; opened != uint64(w.missed.n) {
		t.Errorf("the forwarder opened %d connections, the prefixes missed %d", opened, w.missed.n)
	}
	for i := range w.known.n {
		if _, found := w.tables.Conns.Lookup(w.known.hashes[i], &w.known.keys[i], w.director.now); !found {
			t.Errorf("packet %d: no connection under the key that was looked for", i)
		}
	}
	for m := range w.missed.n {
		if _, found := w.tables.Templates.Lookup(w.missed.hashes[m], &w.missed.keys[m], w.director.now); !found {
			t.Errorf("packet %d: no template under the key that was looked for", w.missed.frame[m])
		}
	}
}

// traffic is what went to all real servers.
func (w *walk) traffic() (sum dataplane.Traffic) {
	w.forwarder.Publish()
	for number := range uint32(serverCount) {
		w.forwarder.Traffic(number+1, &sum)
	}
	return sum
}
