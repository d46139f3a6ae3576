package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// quote is a value as messages show it, shortened if it is long.
func quote(s string) string {
	const limit = 48
	if chars := []rune(s); len(chars) > limit {
		s = string(chars[:limit]) + "…"
	}
	return strconv.Quote(s)
}

// number reads a whole number from lo to hi, decimal or hexadecimal (0x2e).
// A leading zero is refused: some readers of YAML take it for octal.
func (v value) number(lo, hi int64) (int64, bool) {
	s, ok := v.text()
	if !ok {
		return 0, false
	}
	n, ok := parseNumber(s)
	if !ok {
		if short := strings.TrimLeft(s, "0"); short != s {
			if _, ok := parseNumber(short); ok {
				v.errorf("%s %s has a leading zero, which some take for octal: write %s", v.subject(), s, short)
				return 0, false
			}
		}
		v.errorf("%s %s is not a whole number: write one from %d to %d", v.subject(), quote(s), lo, hi)
		return 0, false
	}
	if n < lo || n > hi {
		v.errorf("%s %s is out of range: write a whole number from %d to %d", v.subject(), s, lo, hi)
		return 0, false
	}
	return n, true
}

// parseNumber reads a number; one that does not fit is saturated.
func parseNumber(s string) (int64, bool) {
	digits, negative := strings.CutPrefix(s, "-")
	base := 10
	if hex, ok := strings.CutPrefix(digits, "0x"); ok {
		digits, base = hex, 16
	} else if len(digits) > 1 && digits[0] == '0' {
		return 0, false
	}
	if digits == "" || digits[0] == '+' || digits[0] == '-' || len(digits) > 64 {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, base, 64)
	if err != nil && n == 0 {
		return 0, false
	}
	if negative {
		n = -n
	}
	return n, true
}

// number reads a key's number, def if the key is not there.
func (f fields) number(key string, def, lo, hi int64) int64 {
	if n, ok := f.at(key).number(lo, hi); ok {
		return n
	}
	return def
}

// powerOfTwo reads a key's power of two.
func (f fields) powerOfTwo(key string, def, lo, hi int64) int64 {
	n := f.number(key, def, lo, hi)
	if n&(n-1) != 0 {
		below := int64(1)
		for below*2 < n {
			below *= 2
		}
		f.at(key).errorf("%s %d is not a power of two: write %d or %d", key, n, below, below*2)
		return def
	}
	return n
}

// flag reads a key's true or false.
func (f fields) flag(key string, def bool) bool {
	v := f.at(key)
	s, ok := v.text()
	switch {
	case !ok:
		return def
	case s == "true" || s == "false":
		return s == "true"
	}
	v.errorf("%s %s is neither true nor false: write one of the two", v.subject(), quote(s))
	return def
}

// word reads a key's value, one of some words.
func (f fields) word(key, def string, words ...string) string {
	if w, ok := f.at(key).word(words...); ok {
		return w
	}
	return def
}

func (v value) word(words ...string) (string, bool) {
	s, ok := v.text()
	if !ok {
		return "", false
	}
	if !slices.Contains(words, s) {
		v.errorf("%s %s is not known: %s", v.subject(), quote(s), choice(s, words))
		return "", false
	}
	return s, true
}

// choice says what a word may be, and the likely one if there is one.
func choice(word string, words []string) string {
	best := suggestion(word, words)
	if strings.HasPrefix(best, "did you mean") {
		return best
	}
	return "write " + either(words)
}

// either is the words as alternatives: a, b or c.
func either(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// duration reads a key's time span of whole seconds.
func (f fields) duration(key string, def, lo, hi time.Duration) time.Duration {
	v := f.at(key)
	s, ok := v.text()
	if !ok {
		return def
	}
	d, ok := parseDuration(s)
	switch _, bare := parseNumber(s); {
	case bare:
		v.errorf("%s %s has no unit: write %ss for seconds, or use m, h or d", v.subject(), quote(s), s)
	case !ok:
		v.errorf("%s %s is not a time span: write one such as 90s, 15m, 2h30m or 1d", v.subject(), quote(s))
	case d < lo || d > hi:
		v.errorf("%s %s is out of range: write %s to %s", v.subject(), s, span(lo), span(hi))
	case d%time.Second != 0:
		v.errorf("%s %s is not in whole seconds: write %s", v.subject(), s, span(d.Round(time.Second)))
	default:
		return d
	}
	return def
}

// parseDuration is time.ParseDuration with days in front: 1d12h.
func parseDuration(s string) (time.Duration, bool) {
	var days time.Duration
	if before, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(before, 10, 16)
		if err != nil {
			return 0, false
		}
		days = time.Duration(n) * 24 * time.Hour
		if rest == "" {
			return days, true
		}
		s = rest
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || strings.HasPrefix(s, "+") {
		return 0, false
	}
	if total := days + d; total >= 0 {
		return total, true
	}
	return 0, false
}

// span is a time span as one writes it: 1d12h, not 36h0m0s.
func span(d time.Duration) string {
	if d < time.Second {
		return d.String()
	}
	var b strings.Builder
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d / unit.length; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.name)
			d -= n * unit.length
		}
	}
	return b.String()
}

// Range is numbers from First to Last, both included.
type Range struct{ First, Last uint16 }

// String is 80 or 1000-2000.
func (r Range) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// ranges reads numbers and ranges, sorted and merged.
func (v value) ranges(lo, hi int64) []Range {
	var all []Range
	for _, item := range v.oneOrMore() {
		if r, ok := item.numberRange(lo, hi); ok {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Range) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	var merged []Range
	for _, r := range all {
		if n := len(merged); n > 0 && int(r.First) <= int(merged[n-1].Last)+1 {
			merged[n-1].Last = max(merged[n-1].Last, r.Last)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// numberRange reads one number or one range such as 1000-2000.
func (v value) numberRange(lo, hi int64) (Range, bool) {
	s, ok := v.text()
	if !ok {
		return Range{}, false
	}
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	first, ok1 := parseNumber(strings.TrimSpace(from))
	last, ok2 := parseNumber(strings.TrimSpace(to))
	switch {
	case !ok1 || !ok2:
		v.errorf("%s %s is neither a number nor a range: write %d to %d, or a range such as %d-%d", v.subject(), quote(s), lo, hi, lo, hi)
	case first < lo || last > hi || first > hi || last < lo:
		v.errorf("%s %s is out of range: write numbers from %d to %d", v.subject(), s, lo, hi)
	case first > last:
		v.errorf("%s %s runs backwards: write %d-%d", v.subject(), s, last, first)
	default:
		return Range{uint16(first), uint16(last)}, true
	}
	return Range{}, false
}

// numbers is every number of the ranges.
func numbers[T int | uint16 | uint8](ranges []Range) []T {
	var all []T
	for _, r := range ranges {
		for n := int(r.First); n <= int(r.Last); n++ {
			all = append(all, T(n))
		}
	}
	return all
}
