package bpf

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// walk stores the conditions of the rules that a view's conditional ports need
// and returns the number of the walk; 0 if they need none.
func (c *compiler) walk(v *view) (uint32, error) {
	var rules []*seenRule
	for i := range v.rules {
		if v.walked[i] {
			rules = append(rules, &v.rules[i])
		}
	}
	if len(rules) == 0 {
		return 0, nil
	}
	spans, err := c.spans(rules, v.any)
	if err != nil {
		return 0, err
	}
	key := spansKey(spans)
	if number, ok := c.walks[key]; ok {
		return number, nil
	}
	number := uint32(len(c.walks) + 1)
	c.walks[key] = number
	for prefix, span := range spans {
		c.claims.sources[source{number, prefix}] = span
	}
	if n := len(c.claims.sources); n > MaxSources {
		return 0, fmt.Errorf("more than %d source prefixes, over all destinations and protocols", MaxSources)
	}
	return number, nil
}

// spans returns, for each source prefix of the rules and for any, the list of
// the rules whose sources contain it.
func (c *compiler) spans(rules []*seenRule, any netip.Prefix) (map[netip.Prefix]steerSpan, error) {
	var covering bart.Table[[]int]
	spans := map[netip.Prefix]steerSpan{any: {}}
	for i, r := range rules {
		for _, p := range r.sources {
			add(&covering, p, i)
			spans[p] = steerSpan{}
		}
	}
	for p := range spans {
		span, err := c.list(rules, covers(&covering, p))
		if err != nil {
			return nil, err
		}
		spans[p] = span
	}
	return spans, nil
}

// spansKey is the content of a walk. The any of both families is the same one.
func spansKey(spans map[netip.Prefix]steerSpan) string {
	var key []byte
	for _, p := range slices.SortedFunc(maps.Keys(spans), netip.Prefix.Compare) {
		if p.Bits() > 0 {
			key = append(p.Addr().AppendTo(key), byte(p.Bits()))
		}
		key = binary.BigEndian.AppendUint32(key, spans[p].First)
		key = binary.BigEndian.AppendUint32(key, spans[p].Count)
	}
	return string(key)
}

// list stores the conditions of some of the rules, in their order.
func (c *compiler) list(rules []*seenRule, numbers []int) (steerSpan, error) {
	var list []steerCondition
	for _, n := range numbers {
		r := rules[n]
		if n := len(list) + r.combinations(); n > MaxWalk {
			return steerSpan{}, fmt.Errorf("mark rule %d brings the conditions to walk to %d: at most %d; name destinations or "+
				"sources, or fewer combinations of ports, interfaces and VLANs", r.number+1, n, MaxWalk)
		}
		list = r.appendConditions(list)
	}
	if len(list) == 0 {
		return steerSpan{}, nil
	}
	key, err := binary.Append(nil, binary.NativeEndian, list)
	if err != nil {
		return steerSpan{}, fmt.Errorf("conditions: %w", err)
	}
	if span, ok := c.lists[string(key)]; ok {
		return span, nil
	}
	span := steerSpan{First: uint32(len(c.claims.conditions)), Count: uint32(len(list))}
	c.claims.conditions = append(c.claims.conditions, list...)
	if len(c.claims.conditions) > MaxConditions {
		return steerSpan{}, fmt.Errorf("more than %d conditions, over all destinations, sources and protocols", MaxConditions)
	}
	c.lists[string(key)] = span
	return span, nil
}

// A condition has room for so many interfaces and VLANs.
const perCondition = 2

// combinations is how many conditions the rule becomes.
func (s *seenRule) combinations() int {
	pairs := func(n int) int { return max((n+perCondition-1)/perCondition, 1) }
	return len(s.fromPorts) * len(s.ports) * pairs(len(s.Interfaces)) * pairs(len(s.VLANs))
}

// appendConditions appends the rule as conditions, each of them the rule for one combination.
func (s *seenRule) appendConditions(list []steerCondition) []steerCondition {
	base := steerCondition{Dscps: dscpBits(s.DSCPs)}
	if s.Claimed {
		base.Flags |= uint32(steerConditionFlagsCONDITION_CLAIMS)
	}
	if len(s.DSCPs) == 0 {
		base.Flags |= uint32(steerConditionFlagsCONDITION_ANY_DSCP)
	}
	for _, c := range s.paths(base) {
		for _, from := range s.fromPorts {
			c.SourceLow, c.SourceHigh = from.First, from.Last
			for _, ports := range s.ports {
				c.PortLow, c.PortHigh = ports.First, ports.Last
				list = append(list, c)
			}
		}
	}
	return list
}

// paths returns base for every pair of the rule's interfaces and every pair of its VLANs.
func (s *seenRule) paths(base steerCondition) []steerCondition {
	byInterface := []steerCondition{}
	for pair := range slices.Chunk(s.Interfaces, perCondition) {
		c := base
		c.Interface = [perCondition]uint32{uint32(pair[0]), uint32(pair[len(pair)-1])}
		byInterface = append(byInterface, c)
	}
	if len(s.Interfaces) == 0 {
		base.Flags |= uint32(steerConditionFlagsCONDITION_ANY_INTERFACE)
		byInterface = append(byInterface, base)
	}
	list := []steerCondition{}
	for _, c := range byInterface {
		if len(s.VLANs) == 0 {
			c.Flags |= uint32(steerConditionFlagsCONDITION_ANY_VLAN)
			list = append(list, c)
		}
		for pair := range slices.Chunk(s.VLANs, perCondition) {
			c.Vlan = [perCondition]uint16{pair[0], pair[len(pair)-1]}
			list = append(list, c)
		}
	}
	return list
}

// dscpBits is the set of code points as the program has it, all of them for none.
func dscpBits(dscps []uint8) (set uint64) {
	for _, d := range dscps {
		set |= 1 << d
	}
	if set == 0 {
		return ^uint64(0)
	}
	return set
}
