package config

import (
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/token"
)

// How deep the parser may recurse. It does so for each value within another,
// and once more for each further key of a set. A configuration nests seven
// deep, and its largest set has some twenty keys.
const (
	maxFlow     = 32  // brackets within brackets
	maxColumn   = 512 // of a dash or key: each level of indentation takes one
	maxKeys     = 256 // in one set
	maxPrefixes = 32  // anchors, tags, dashes and keys with no value between
)

// checkDepth refuses tokens by which the parser would recurse too deep.
func checkDepth(tokens token.Tokens) error {
	var d depth
	for i, tk := range tokens {
		if tk.Position == nil {
			continue
		}
		var next, last token.Type
		if i+1 < len(tokens) {
			next = tokens[i+1].Type
		}
		if i > 0 {
			last = tokens[i-1].Type
		}
		if what := d.step(tk, last, next); what != "" {
			return &yaml.SyntaxError{Message: what, Token: tk}
		}
	}
	return nil
}

// depth is where a walk over the tokens of a file is.
type depth struct {
	flow     int              // brackets open
	flowKeys [maxFlow + 2]int // keys so far, by how many brackets are open
	blocks   []block          // sets of keys without brackets, outermost first
	prefixes int              // in a row
	line     int              // of the last token
}

// block is a set of keys that is still open, by its indentation.
type block struct{ column, keys int }

// step takes one token, and says what is too deep now, if anything.
func (d *depth) step(tk *token.Token, last, next token.Type) string {
	newLine := d.flow == 0 && tk.Position.Line != d.line
	d.line = tk.Position.Line
	switch tk.Type {
	case token.SequenceStartType, token.MappingStartType:
		d.flow++
		d.flowKeys[d.flow] = 0
	case token.SequenceEndType, token.MappingEndType:
		d.flow, d.prefixes = max(0, d.flow-1), 0
	case token.AnchorType, token.AliasType, token.TagType:
		d.prefixes++
	case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
		d.prefix(newLine)
		d.open(tk.Position.Column, 0)
	default:
		switch {
		case next == token.MappingValueType:
			d.prefix(newLine)
			d.open(tk.Position.Column, 1)
		case last != token.AnchorType: // then it is the anchor's name
			d.prefixes = 0
		}
	}
	return d.excess(tk)
}

// prefix counts what stands before a value. A new line of a block begins anew:
// its depth is in its column.
func (d *depth) prefix(newLine bool) {
	if newLine {
		d.prefixes = 0
	}
	d.prefixes++
}

// open closes the blocks that are indented more, and counts keys in the set
// that is open then.
func (d *depth) open(column, keys int) {
	if d.flow > 0 {
		d.flowKeys[d.flow] += keys
		return
	}
	for len(d.blocks) > 0 && d.blocks[len(d.blocks)-1].column > column {
		d.blocks = d.blocks[:len(d.blocks)-1]
	}
	if keys == 0 {
		return
	}
	if len(d.blocks) == 0 || d.blocks[len(d.blocks)-1].column < column {
		d.blocks = append(d.blocks, block{column: column})
	}
	d.blocks[len(d.blocks)-1].keys += keys
}

func (d *depth) excess(tk *token.Token) string {
	switch {
	case d.flow > maxFlow || d.prefixes > maxPrefixes || len(d.blocks) > maxFlow,
		d.flow == 0 && tk.Position.Column > maxColumn && (tk.Type == token.SequenceEntryType || tk.Type == token.MappingValueType):
		return "values are nested too deeply"
	case d.flowKeys[d.flow] > maxKeys, len(d.blocks) > 0 && d.blocks[len(d.blocks)-1].keys > maxKeys:
		return "too many keys in one set"
	}
	return ""
}
