package config

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

const (
	// maxFileSize in bytes is far beyond a file of tens of thousands of servers.
	maxFileSize = 16 << 20
	// maxAliased bounds what aliases can multiply a small file to, in values
	// beyond those that the file itself has room for.
	maxAliased = 100_000
	// maxErrors bounds the report on a file that is something else altogether.
	maxErrors = 1000
)

// file is one file while it is read: its tree, and what was found wrong so far.
type file struct {
	name    string
	lines   []string
	anchors map[string]ast.Node

	values    int // values visited, aliases followed
	maxValues int
	errors    Errors
	warnings  Errors
	noted     map[noted]bool
}

// noted is what an error or warning is known by.
type noted struct {
	place   place
	message string
}

// open parses the text and returns the value of its one document. It reports
// false, and has noted why, if the text is not YAML.
func (f *file) open(data []byte) (root value, ok bool) {
	root = value{file: f, place: place{line: 1, column: 1, width: 1}}
	if len(data) > maxFileSize {
		root.errorf("the file has %d bytes: the limit is %d", len(data), maxFileSize)
		return root, false
	}
	if !utf8.Valid(data) {
		root.errorf("the file is not text in UTF-8: is it a YAML file?")
		return root, false
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // a byte order mark, as some editors write
	f.lines, f.maxValues = splitLines(string(data)), len(data)+maxAliased
	tree, err := parse(string(data))
	if err != nil {
		f.syntaxError(err)
		return root, false
	}
	return f.document(tree, root)
}

// document checks that the tree is one document and gathers its anchors.
func (f *file) document(tree *ast.File, root value) (value, bool) {
	var body ast.Node
	for _, doc := range tree.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if body != nil {
			root.place = placeOf(doc.Body)
			root.errorf("the file has a second document: keep one, without another --- line")
			return root, false
		}
		body = doc.Body
	}
	if body == nil {
		root.errorf("the file is empty: begin with the interfaces, interfaces: [{name: eth0}]")
		return root, false
	}
	f.anchors = map[string]ast.Node{}
	ast.Walk(anchorVisitor{f}, body)
	return root.child(body, ""), true
}

// syntaxError notes the error of the parser.
func (f *file) syntaxError(err error) {
	at := value{file: f, place: place{line: 1, column: 1, width: 1}}
	var message string
	var syntax yaml.Error
	if errors.As(err, &syntax) { // its Error would print the whole line, in a way of its own
		message = syntax.GetMessage()
		if tk := syntax.GetToken(); tk != nil && tk.Position != nil {
			at.place = placeOfToken(tk)
		}
	} else {
		message = err.Error()
	}
	advice := "look for a bracket, quote or indentation here or on the line before"
	if line := at.place.line; line <= len(f.lines) && strings.Contains(f.lines[line-1], "\t") {
		advice = "indent by spaces, not by tabs"
	}
	at.errorf("not valid YAML, %s: %s", message, advice)
}

// anchorVisitor gathers what aliases may name.
type anchorVisitor struct{ file *file }

func (v anchorVisitor) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok && anchor.Name != nil {
		v.file.anchors[anchor.Name.GetToken().Value] = anchor.Value
	}
	return v
}

// splitLines is the text's lines without their ends.
func splitLines(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// placeOf is where a node begins. For a block of keys that is its first key.
func placeOf(n ast.Node) place {
	switch n := n.(type) {
	case nil:
		return place{line: 1, column: 1, width: 1}
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return placeOf(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return placeOf(n.Key)
	}
	return placeOfToken(n.GetToken())
}

func placeOfToken(tk *token.Token) place {
	if tk == nil || tk.Position == nil {
		return place{line: 1, column: 1, width: 1}
	}
	text, _, _ := strings.Cut(strings.Trim(tk.Origin, " \t\r\n"), "\n")
	width := utf8.RuneCountInString(strings.TrimRight(text, " \t\r"))
	return place{line: max(1, tk.Position.Line), column: max(1, tk.Position.Column), width: max(1, width)}
}
