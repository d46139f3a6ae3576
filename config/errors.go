package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong in a file, or, as one of
// [Config.Warnings], one that is probably not meant.
type Error struct {
	// File is the file's name, Line and Column the place, both from 1; the
	// column counts characters, not bytes.
	File         string
	Line, Column int
	// Path is the place in the file's structure: services[1].servers[0].weight.
	Path string
	// Message says what is wrong and, after a colon, what to do.
	Message string
	// Excerpt is the lines around the place, the place underlined, each ended
	// by a newline. It is empty if the file has no such line.
	Excerpt string
}

// Error is the place and the message on one line, without the excerpt.
func (e Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Errors is everything that is wrong in a file, in the order of its lines.
// [Parse] returns it as its error.
type Errors []Error

// Error is every error with its excerpt, an empty line between two of them.
func (e Errors) Error() string {
	var b strings.Builder
	for i := range e {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e[i].Error())
		b.WriteByte('\n')
		b.WriteString(e[i].Excerpt)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Unwrap gives errors.As and errors.Is each Error.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i := range e {
		all[i] = e[i]
	}
	return all
}

// sorted is e by place; what is at one place stays in the order found.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return e
}
