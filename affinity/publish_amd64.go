//go:build !race

package affinity

// publish4 writes the words of an IPv4 entry, and publish6 those of an IPv6 one, ident
// last. Each store is atomic and none is seen before those that precede it: what other
// languages call a release, and x86 gives to every store (Intel SDM volume 3, section
// "Memory Ordering"). Go's atomic stores also wait until all processors see them, which
// takes five times as long and is of use to nobody here: a reader that does not see ident yet
// has come before the entry.
//
// The race detector does not see these; race builds have publish_any.go.
//
//go:noescape
func publish4(s *slot, ident, bind, life, address uint64)

//go:noescape
func publish6(l *line, ident, bind, life uint64, address *[4]uint64)
