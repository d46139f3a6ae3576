package marks

import (
	"math/bits"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/xlvs/xlvs/packet"
)

// addresses is a dimension of addresses of both families. The row of a prefix is
// of all the rules that accept it, be it by this prefix or by one around it.
type addresses struct {
	// hosts has the prefixes of one address: most destinations are, and a trie
	// needs a step for each byte of an address to find what a hash finds at once.
	hosts hosts
	// prefixes has the others; nil if there are none.
	prefixes *bart.Fast[uint32]
	// other is the row of all other addresses.
	other uint32
}

func (a *addresses) lookup(addr packet.Addr) uint32 {
	if row, ok := a.hosts.lookup(addr); ok {
		return row
	}
	if a.prefixes != nil {
		if row, ok := a.prefixes.Lookup(addr.Netip()); ok {
			return row
		}
	}
	return a.other
}

// compileAddresses makes a dimension out of each rule's list of prefixes, nil if
// all lists are empty.
func compileAddresses(name string, lists [][]netip.Prefix, rows *rows) (*addresses, error) {
	var named bart.Table[bitset] // the rules that name this very prefix
	indifferent, conditions := rows.newSet(), 0
	for rule, list := range lists {
		if len(list) == 0 {
			indifferent.add(rule)
		}
		conditions += len(list)
		for _, p := range list {
			set, ok := named.Get(p.Masked())
			if !ok {
				set = rows.newSet()
				named.Insert(p.Masked(), set)
			}
			set.add(rule)
		}
	}
	switch {
	case conditions == 0:
		return nil, nil
	case conditions > MaxConditions:
		return nil, tooMany(name, conditions)
	}
	a := &addresses{hosts: newHosts(named.Size()), other: rows.number(indifferent)}
	for p := range named.All() {
		set := slices.Clone(indifferent)
		for _, around := range named.Supernets(p) { // p itself is one of them
			set.union(around)
		}
		a.add(p, rows.number(set))
	}
	return a, nil
}

func (a *addresses) add(p netip.Prefix, row uint32) {
	if p.IsSingleIP() {
		a.hosts.add(packet.AddrFrom(p.Addr()), row)
		return
	}
	if a.prefixes == nil {
		a.prefixes = new(bart.Fast[uint32])
	}
	a.prefixes.Insert(p, row)
}

// hosts maps single addresses to rows: a hash table with linear probing, at most
// half full. Who sends packets cannot add to it.
type hosts struct {
	slots []host
	shift uint // leaves as many bits of a hash as number the slots
}

type host struct {
	addr packet.Addr
	row  uint32 // its number plus one; 0 is an empty slot
}

func newHosts(n int) hosts {
	bits := uint(bits.Len(uint(2 * n)))
	return hosts{slots: make([]host, 1<<bits), shift: 64 - bits}
}

// slot is where the search for an address begins.
func (h *hosts) slot(a packet.Addr) int {
	const odd = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio (Knuth, 6.4)
	return int((bits.RotateLeft64(a.Hi*odd, 32) ^ a.Lo) * odd >> h.shift)
}

func (h *hosts) add(a packet.Addr, row uint32) {
	i := h.slot(a)
	for h.slots[i].row != 0 {
		i = (i + 1) & (len(h.slots) - 1)
	}
	h.slots[i] = host{a, row + 1}
}

func (h *hosts) lookup(a packet.Addr) (row uint32, ok bool) {
	for i := h.slot(a); ; i++ {
		s := &h.slots[i&(len(h.slots)-1)]
		if s.row == 0 || s.addr == a {
			return s.row - 1, s.row != 0
		}
	}
}
