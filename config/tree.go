package config

import (
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parse builds the tree. The parser is not ours: what might exhaust the stack is
// refused before it gets there, and a panic is an error.
func parse(text string) (tree *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			tree, err = nil, fmt.Errorf("the parser gave up (%v)", r)
		}
	}()
	tokens := joinColons(lexer.Tokenize(text))
	if err := checkDepth(tokens); err != nil {
		return nil, err
	}
	// Duplicate keys are found in fields, together with all other errors.
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// joinColons makes one token of 2001:db8::10 where the scanner made three. In
// braces it takes every colon for the end of a key, but without white space
// behind it a colon is part of a plain scalar (YAML 1.2.2, 7.3.3).
func joinColons(tokens token.Tokens) token.Tokens {
	joined := make(token.Tokens, 0, len(tokens))
	for i := 0; i < len(tokens); i++ {
		tk := tokens[i]
		if tk.Type == token.MappingValueType && i+1 < len(tokens) && isPlain(tokens[i+1]) && adjacent(tk, tokens[i+1]) && !endsJSON(joined) {
			text, origin, start := tk.Value, tk.Origin, tk.Position
			if last := len(joined) - 1; last >= 0 && isPlain(joined[last]) && adjacent(joined[last], tk) {
				text, origin, start = joined[last].Value+text, joined[last].Origin+origin, joined[last].Position
				joined = joined[:last]
			}
			i++
			tk = token.New(text+tokens[i].Value, origin+tokens[i].Origin, start)
		}
		tk.Prev, tk.Next = nil, nil
		joined.Add(tk)
	}
	return joined
}

// endsJSON reports whether the tokens end in what may be a key without white
// space behind its colon, as in {"weight":2} (YAML 1.2.2, 7.4.2).
func endsJSON(tokens token.Tokens) bool {
	if len(tokens) == 0 {
		return false
	}
	switch tokens[len(tokens)-1].Type {
	case token.SingleQuoteType, token.DoubleQuoteType, token.SequenceEndType, token.MappingEndType:
		return true
	}
	return false
}

// isPlain reports whether a token is a scalar without quotes.
func isPlain(tk *token.Token) bool {
	return tk.CharacterType == token.CharacterTypeMiscellaneous && tk.Indicator == token.NotIndicator
}

// adjacent reports whether b begins where a ends, on the same line.
func adjacent(a, b *token.Token) bool {
	return a.Position != nil && b.Position != nil && a.Position.Line == b.Position.Line &&
		a.Position.Column+utf8.RuneCountInString(a.Value) == b.Position.Column
}
