package config

import (
	"path/filepath"
	"strings"
	"unicode"
)

// interfaceName reads a name that the kernel would take (dev_valid_name).
func (v value) interfaceName() string {
	const maxName = 15 // IFNAMSIZ without its final zero
	s, ok := v.text()
	if !ok {
		return ""
	}
	bad := func(c rune) bool { return c == '/' || c == ':' || unicode.IsSpace(c) || notPrintable(c) }
	if s == "" || len(s) > maxName || s == "." || s == ".." || strings.ContainsFunc(s, bad) {
		v.errorf("%s %s is not the name of an interface: write 1 to %d characters without slash, colon or space, such as eth0", v.subject(), quote(s), maxName)
		return ""
	}
	return s
}

// absolutePath reads a key's path.
func (f fields) absolutePath(key, def string, limit int) string {
	v := f.at(key)
	s, ok := v.text()
	if !ok {
		return def
	}
	switch {
	case !filepath.IsAbs(s) || strings.ContainsRune(s, 0):
		v.errorf("%s %s is not an absolute path: write one that begins with /", v.subject(), quote(s))
	case s != filepath.Clean(s):
		v.errorf("%s %s is not in its shortest form: write %s", v.subject(), quote(s), filepath.Clean(s))
	case len(s) > limit:
		v.errorf("%s has %d bytes: write a path of at most %d", v.subject(), len(s), limit)
	default:
		return s
	}
	return def
}

// label reads a key's short text for people.
func (f fields) label(key string) string {
	const limit = 64
	v := f.at(key)
	s, ok := v.text()
	if !ok {
		return ""
	}
	if len(s) > limit || s != strings.TrimSpace(s) || s == "" || strings.ContainsFunc(s, notPrintable) {
		v.errorf("%s %s is not fit for a listing: write 1 to %d bytes of printable text", v.subject(), quote(s), limit)
		return ""
	}
	return s
}

func notPrintable(c rune) bool { return !unicode.IsPrint(c) }
