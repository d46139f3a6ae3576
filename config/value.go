package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// value is a node of a file's tree, with its place and its path. Its methods
// read it as one type or another and note an error where it is not.
type value struct {
	file  *file
	node  ast.Node // nil for what is absent; never an anchor or alias
	place place
	path  string
}

// child is the value of a node below v, aliases resolved.
func (v value) child(n ast.Node, path string) value {
	c := value{file: v.file, place: placeOf(n), path: path}
	for range 32 {
		switch named := n.(type) {
		case *ast.AnchorNode:
			n = named.Value
		case *ast.AliasNode:
			target, ok := v.file.anchors[named.Value.GetToken().Value]
			if !ok {
				c.errorf("no anchor %s in the file: define it before it is used", quote("&"+named.Value.GetToken().Value))
				return c
			}
			n = target
		case *ast.TagNode:
			c.errorf("tag %s has no meaning here: remove it", quote(strings.TrimSpace(named.GetToken().Value)))
			return c
		default:
			return v.visited(c, n)
		}
	}
	c.errorf("the alias refers to itself: write the value out")
	return c
}

// visited completes a value, unless aliases have made the file endless.
func (v value) visited(c value, n ast.Node) value {
	v.file.values++
	if v.file.exhausted() {
		if v.file.values == v.file.maxValues+1 {
			c.errorf("the file has more than %d values when its aliases are followed: write less by alias", v.file.maxValues)
		}
		return c
	}
	c.node, c.place = n, placeOf(n)
	return c
}

// exhausted reports whether too many values were visited to visit more.
func (f *file) exhausted() bool { return f.values > f.maxValues }

// subject is how messages call the value: the last part of its path.
func (v value) subject() string {
	if v.path == "" {
		return "the file"
	}
	return v.path[strings.LastIndexByte(v.path, '.')+1:]
}

// errorf notes an error at v: what is wrong, a colon, and what to do.
func (v value) errorf(format string, args ...any) {
	v.note(&v.file.errors, fmt.Sprintf(format, args...))
}

// conflictf is errorf for what contradicts an earlier value, shown beside it.
func (v value) conflictf(earlier value, label, format string, args ...any) {
	v.note(&v.file.errors, fmt.Sprintf(format, args...), note{earlier.place, "-", label})
}

// warnf notes what is legal but most likely not meant.
func (v value) warnf(format string, args ...any) {
	v.note(&v.file.warnings, fmt.Sprintf(format, args...))
}

// note adds to a report, once even if aliases lead to the place again and again.
func (v value) note(to *Errors, message string, more ...note) {
	message = presentable(message)
	key := noted{v.place, message}
	if v.file.noted[key] || len(*to) >= maxErrors {
		return
	}
	v.file.noted[key] = true
	if len(*to) == maxErrors-1 {
		message = "more is wrong from here on than is reported: correct the rest first"
	}
	more = slices.DeleteFunc(more, func(n note) bool { return n.place == v.place })
	*to = append(*to, Error{
		File: v.file.name, Line: v.place.line, Column: v.place.column, Path: v.path,
		Message: message,
		Excerpt: excerpt(v.file.lines, append(more, note{v.place, "^", ""})...),
	})
}

// presentable is a message fit for one line of a terminal, whatever of the file
// it cites.
func presentable(message string) string {
	const limit = 600 // characters, far beyond all that cite little
	chars := []rune(strings.ReplaceAll(message, "\t", `\t`))
	if len(chars) > limit {
		chars = append(chars[:limit], '…')
	}
	for i, c := range chars {
		if notPrintable(c) {
			chars[i] = '?'
		}
	}
	return string(chars)
}

// kind is what a value is, for messages.
func (v value) kind() string {
	switch v.node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a set of keys"
	case *ast.SequenceNode:
		return "a list"
	case nil, *ast.NullNode:
		return "empty"
	}
	return "a single value"
}

// absent reports whether there is nothing to read: no node, or an error noted
// before.
func (v value) absent() bool { return v.node == nil }

// text is the characters of a scalar, quoted or not.
func (v value) text() (string, bool) {
	switch n := v.node.(type) {
	case nil:
		return "", false
	case *ast.NullNode:
		v.errorf("%s has no value: give it one, or remove the key for the default", v.subject())
		return "", false
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		v.errorf("%s is %s: write a single value, in quotes if it ends in a colon", v.subject(), v.kind())
		return "", false
	default:
		return n.GetToken().Value, true
	}
}

// items is the elements of a list. A single value is not taken for a list of one.
func (v value) items() []value {
	switch n := v.node.(type) {
	case nil:
		return nil
	case *ast.SequenceNode:
		items := make([]value, 0, len(n.Values))
		for i, element := range n.Values {
			if v.file.exhausted() {
				break
			}
			items = append(items, v.child(element, v.path+"["+strconv.Itoa(i)+"]"))
		}
		return items
	}
	v.errorf("%s is %s: write a list, each element behind a dash or all in brackets", v.subject(), v.kind())
	return nil
}

// oneOrMore is the elements of a list, or the one value itself.
func (v value) oneOrMore() []value {
	if _, ok := v.node.(*ast.SequenceNode); ok {
		items := v.items()
		if len(items) == 0 {
			v.errorf("%s is an empty list: name at least one, or remove the key", v.subject())
		}
		return items
	}
	if v.absent() {
		return nil
	}
	return []value{v}
}

// fields is a set of keys, by their names, each known and given once.
type fields struct {
	value
	by map[string]value
}

// fields reads a set of keys; what names it in messages ("a real server").
func (v value) fields(what string, keys ...string) fields {
	f := fields{value: v, by: map[string]value{}}
	var pairs []*ast.MappingValueNode
	switch n := v.node.(type) {
	case nil:
		return f
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		v.errorf("%s is %s: write the keys of %s (%s)", v.subject(), v.kind(), what, strings.Join(keys, ", "))
		f.node = nil
		return f
	}
	for _, pair := range pairs {
		f.add(pair, what, keys)
	}
	return f
}

// add takes in one key and its value.
func (f fields) add(pair *ast.MappingValueNode, what string, keys []string) {
	at := value{file: f.file, place: placeOf(pair.Key), path: f.path}
	if pair.Key.Type() == ast.MergeKeyType {
		at.errorf("merge keys (<<) are not part of YAML 1.2: write the keys out, or share a whole value by *alias")
		return
	}
	key := pair.Key.GetToken().Value
	at.path = strings.TrimPrefix(f.path+"."+key, ".")
	if !slices.Contains(keys, key) {
		at.errorf("unknown key %s in %s: %s", quote(key), what, suggestion(key, keys))
		return
	}
	child := f.child(pair.Value, at.path)
	if pair.Value == nil || pair.Value.Type() == ast.NullType {
		child.place = at.place
	}
	if earlier, ok := f.by[key]; ok {
		at.conflictf(earlier, "first here", "%s is given twice, first on line %d: remove one", key, earlier.place.line)
		return
	}
	f.by[key] = child
}

// has reports whether the key is there.
func (f fields) has(key string) bool { _, ok := f.by[key]; return ok }

// at is the value of a key; if the key is not there, an absent value with the
// place of the whole set.
func (f fields) at(key string) value {
	if v, ok := f.by[key]; ok {
		return v
	}
	return value{file: f.file, place: f.place, path: strings.TrimPrefix(f.path+"."+key, ".")}
}

// required is at, with an error if the key is not there.
func (f fields) required(what, key, example string) value {
	if !f.has(key) && !f.absent() {
		f.errorf("%s has no %s: add %s", what, key, example)
	}
	return f.at(key)
}

// suggestion is the key that was probably meant, or all of them.
func suggestion(key string, keys []string) string {
	best, distance := "", max(1, len(key)/3)+1
	for _, k := range keys {
		if d := editDistance(key, k, distance); d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	return "its keys are " + strings.Join(keys, ", ")
}

// editDistance is how many characters to insert, delete, replace or swap with
// their neighbour to turn a into b (optimal string alignment), or any number
// from limit on if it is at least that.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
