package marks

import (
	"cmp"
	"fmt"
	"slices"
)

// A dimension is one thing that rules look at. Each maps a packet's value to the
// row of the rules that accept this value, rules that do not look at it included.
// A dimension that no rule looks at is nil.

// values is a dimension of few enough values to have a table of all of them.
type values struct {
	row []uint32
	// unknown is the row for a packet without the value: the rules that do not care.
	unknown uint32
}

// port is the row of a port, if the packet has one.
func (v *values) port(port uint16, known bool) uint32 {
	if known {
		return v.row[port]
	}
	return v.unknown
}

// interval is a range of values, both ends included.
type interval struct{ first, last int }

// compileValues makes a dimension of the values 0 to size-1 out of each rule's
// list, nil if all lists are empty.
func compileValues(name string, size int, lists [][]interval, rows *rows) (*values, error) {
	type edge struct{ at, rule, change int }
	var edges []edge
	set := rows.newSet() // the rules that accept the value at hand
	for rule, list := range lists {
		if len(list) == 0 {
			set.add(rule)
		}
		for _, i := range list {
			edges = append(edges, edge{i.first, rule, +1}, edge{i.last + 1, rule, -1})
		}
	}
	if len(edges) == 0 {
		return nil, nil
	}
	if len(edges)/2 > MaxConditions {
		return nil, tooMany(name, len(edges)/2)
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })

	v := &values{row: make([]uint32, size), unknown: rows.number(set)}
	open := make([]int, len(lists)) // how many of a rule's intervals the value at hand is in
	row := v.unknown
	for at := range v.row {
		if len(edges) > 0 && edges[0].at == at {
			for ; len(edges) > 0 && edges[0].at == at; edges = edges[1:] {
				e := edges[0]
				if open[e.rule] += e.change; open[e.rule] > 0 {
					set.add(e.rule)
				} else {
					set.remove(e.rule)
				}
			}
			row = rows.number(set)
		}
		v.row[at] = row
	}
	return v, nil
}

// interfaces is the dimension of input interfaces, of which rules name few.
type interfaces struct {
	index []uint32
	row   []uint32 // of the interface at the same place in index
	other uint32   // row of all other interfaces
}

func (i *interfaces) lookup(index uint32) uint32 {
	for n, known := range i.index {
		if known == index {
			return i.row[n]
		}
	}
	return i.other
}

func compileInterfaces(rules []Rule, rows *rows) (*interfaces, error) {
	i, sets := &interfaces{}, []bitset{}
	indifferent := rows.newSet()
	for rule, r := range rules {
		if len(r.Interfaces) == 0 {
			indifferent.add(rule)
		}
		for _, index := range r.Interfaces {
			at := slices.Index(i.index, index)
			if at < 0 {
				at = len(i.index)
				i.index, sets = append(i.index, index), append(sets, rows.newSet())
			}
			sets[at].add(rule)
		}
	}
	switch {
	case len(sets) == 0:
		return nil, nil
	case len(sets) > MaxInterfaces:
		return nil, fmt.Errorf("rules list %d interfaces, at most %d are possible", len(sets), MaxInterfaces)
	}
	i.other = rows.number(indifferent)
	for _, set := range sets {
		set.union(indifferent)
		i.row = append(i.row, rows.number(set))
	}
	return i, nil
}

func tooMany(name string, n int) error {
	return fmt.Errorf("rules list %d %s, at most %d are possible", n, name, MaxConditions)
}
