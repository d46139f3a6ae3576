package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// place is a run of characters on one line of a file.
type place struct {
	line, column int // both from 1
	width        int // in characters, at least 1
}

// note is a place in an excerpt: underlined by mark, with a label behind it.
type note struct {
	place
	mark  string
	label string
}

const (
	contextBefore = 2   // lines shown before a place
	contextAfter  = 1   // lines shown after it
	excerptWidth  = 100 // characters of a line that are shown
)

// excerpt shows the lines of the notes and some around them:
//
//	12 |     servers:
//	13 |       - {address: 10.0.0.11, weight: -1}
//	   |                                      ^^
func excerpt(lines []string, notes ...note) string {
	shown := shownLines(len(lines), notes)
	if len(shown) == 0 {
		return ""
	}
	gutter := len(fmt.Sprint(shown[len(shown)-1]))
	var b strings.Builder
	for i, n := range shown {
		if i > 0 && shown[i-1] != n-1 {
			fmt.Fprintf(&b, "  %*s |\n", gutter, strings.Repeat(".", gutter))
		}
		start := windowStart(n, notes)
		writeLine(&b, fmt.Sprintf("  %*d | ", gutter, n), window(lines[n-1], start))
		for _, at := range notes {
			if at.line == n {
				under := underline(at, start)
				writeLine(&b, fmt.Sprintf("  %*s | ", gutter, ""), under)
			}
		}
	}
	return b.String()
}

func writeLine(b *strings.Builder, gutter, text string) {
	b.WriteString(strings.TrimRight(gutter+text, " "))
	b.WriteByte('\n')
}

// shownLines is the numbers of the lines to show, rising. Empty lines at either
// end are left out.
func shownLines(total int, notes []note) []int {
	var shown []int
	for _, at := range notes {
		if at.line < 1 || at.line > total {
			continue
		}
		for n := max(1, at.line-contextBefore); n <= min(total, at.line+contextAfter); n++ {
			shown = append(shown, n)
		}
	}
	slices.Sort(shown)
	return slices.Compact(shown)
}

// windowStart is the first character of line n to show, from 0: not the first
// one only if the line is long and the place far to the right.
func windowStart(n int, notes []note) int {
	for _, at := range notes {
		if at.line == n && at.column > excerptWidth*3/4 {
			return at.column - excerptWidth/2
		}
	}
	return 0
}

// window is the part of a line that is shown, one column a character: tabs are
// shown as a space, what a terminal might act on as a question mark.
func window(line string, start int) string {
	chars := []rune(line)
	end := min(len(chars), start+excerptWidth)
	start = min(start, len(chars))
	var b strings.Builder
	if start > 0 {
		b.WriteString("…")
		start++
	}
	for _, c := range chars[min(start, end):end] {
		switch {
		case c == '\t':
			c = ' '
		case !unicode.IsPrint(c):
			c = '?'
		}
		b.WriteRune(c)
	}
	if end < len(chars) {
		b.WriteString("…")
	}
	return b.String()
}

// underline is the line below a place whose line is shown from start on.
func underline(at note, start int) string {
	indent := max(0, at.column-1-start)
	width := max(1, min(at.width, excerptWidth-indent))
	under := strings.Repeat(" ", indent) + strings.Repeat(at.mark, width)
	if at.label != "" {
		under += " " + at.label
	}
	return under
}
