//go:build !amd64 || race

package affinity

// publish4 writes the words of an IPv4 entry, ident last.
func publish4(s *slot, id, bound, lived, addresses uint64) {
	s[address].Store(addresses)
	s[bind].Store(bound)
	s[life].Store(lived)
	s[ident].Store(id)
}

// publish6 writes the words of an IPv6 entry, ident last.
func publish6(l *line, id, bound, lived uint64, addresses *[4]uint64) {
	for i, a := range addresses {
		l[address+i].Store(a)
	}
	l[bind].Store(bound)
	l[life].Store(lived)
	l[ident].Store(id)
}
