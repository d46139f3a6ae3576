package bpf

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// claims is rules and services compiled into the tables of steer.c:
//
//	entries     destination prefix -> for each protocol, a set of ports and a walk
//	sets        two bits a port: claimed, unclaimed, or walk; number 0 claims nothing
//	sources     walk, source prefix -> a list of conditions
//	conditions  the lists, one after the other
//
// The program finds the longest prefix only, so each entry knows of all the
// rules whose destinations contain it, and each list of all those whose sources
// do. Equal sets, walks and lists are stored once.
type claims struct {
	entries    map[netip.Prefix]steerEntry
	sets       []steerPortSet
	sources    map[source]steerSpan
	conditions []steerCondition
}

// source is a source prefix within a walk.
type source struct {
	walk   uint32
	prefix netip.Prefix
}

func (c *claims) equal(o *claims) bool {
	return o != nil && maps.Equal(c.entries, o.entries) && slices.Equal(c.sets, o.sets) &&
		maps.Equal(c.sources, o.sources) && slices.Equal(c.conditions, o.conditions)
}

// compiler is the state of one compilation.
type compiler struct {
	rules    []Rule
	services map[netip.Addr][]Service
	// covering holds the numbers of the rules, by destination prefix.
	covering bart.Table[[]int]

	claims *claims
	// What is stored already, by content.
	sets  map[string]uint32
	walks map[string]uint32
	lists map[string]steerSpan
}

// compile checks everything and compiles it. It has no effect on the kernel.
func compile(rules []Rule, services []Service) (*claims, error) {
	c := &compiler{
		rules:    rules,
		services: map[netip.Addr][]Service{},
		claims: &claims{
			entries: map[netip.Prefix]steerEntry{},
			sets:    make([]steerPortSet, 1),
			sources: map[source]steerSpan{},
		},
		sets:  map[string]uint32{},
		walks: map[string]uint32{},
		lists: map[string]steerSpan{},
	}
	prefixes, err := c.collect(rules, services)
	if err != nil {
		return nil, err
	}
	if len(prefixes) > MaxPrefixes {
		return nil, fmt.Errorf("%d destination prefixes, of rules and services together: at most %d", len(prefixes), MaxPrefixes)
	}
	for _, p := range prefixes {
		if err := c.entry(p); err != nil {
			return nil, fmt.Errorf("destination %s: %w", p, err)
		}
	}
	return c.claims, nil
}

// collect validates the input and returns the prefixes that need an entry, in order.
func (c *compiler) collect(rules []Rule, services []Service) ([]netip.Prefix, error) {
	prefixes := map[netip.Prefix]struct{}{}
	for i := range rules {
		if err := rules[i].validate(); err != nil {
			return nil, fmt.Errorf("mark rule %d: %w", i+1, err)
		}
		for _, p := range destinations(&rules[i]) {
			prefixes[p] = struct{}{}
			add(&c.covering, p, i)
		}
	}
	for i := range services {
		s := &services[i]
		if err := s.validate(); err != nil {
			return nil, fmt.Errorf("service %d: %w", i+1, err)
		}
		prefixes[netip.PrefixFrom(s.Addr, s.Addr.BitLen())] = struct{}{}
		c.services[s.Addr] = append(c.services[s.Addr], *s)
	}
	return slices.SortedFunc(maps.Keys(prefixes), netip.Prefix.Compare), nil
}

var (
	anyIPv4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	anyIPv6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)

func destinations(r *Rule) []netip.Prefix {
	if len(r.Destinations) == 0 {
		return []netip.Prefix{anyIPv4, anyIPv6}
	}
	return masked(r.Destinations)
}

func masked(prefixes []netip.Prefix) []netip.Prefix {
	list := make([]netip.Prefix, len(prefixes))
	for i, p := range prefixes {
		list[i] = p.Masked()
	}
	return list
}

// entry compiles what applies to the addresses whose longest prefix is p.
func (c *compiler) entry(p netip.Prefix) error {
	numbers := covers(&c.covering, p)
	var services []Service
	if p.IsSingleIP() {
		services = c.services[p.Addr()]
	}
	any := anyIPv6
	if p.Addr().Is4() {
		any = anyIPv4
	}
	var entry steerEntry
	for i := range entry.Protocol {
		view := c.view(any, Protocols(1<<i), numbers, services)
		claim, err := c.claim(&view)
		if err != nil {
			return err
		}
		entry.Protocol[i] = claim
	}
	c.claims.entries[p] = entry
	return nil
}

// covers returns the numbers that a table has for a prefix and all that contain it, in order.
func covers(t *bart.Table[[]int], p netip.Prefix) (numbers []int) {
	for _, n := range t.Supernets(p) {
		numbers = append(numbers, n...)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// add adds a number to a prefix of a table.
func add(t *bart.Table[[]int], p netip.Prefix, number int) {
	t.Modify(p, func(numbers []int, _ bool) ([]int, bool) { return append(numbers, number), false })
}

// claim stores a view's set of ports and its walk.
func (c *compiler) claim(v *view) (steerClaim, error) {
	set, err := c.set(v.segments())
	if err != nil {
		return steerClaim{}, err
	}
	walk, err := c.walk(v)
	return steerClaim{Ports: set, Walk: walk}, err
}

// set returns the number of a set of ports.
func (c *compiler) set(segments []segment) (uint32, error) {
	key := make([]byte, 0, 5*len(segments))
	var any steerPortState
	for _, s := range segments {
		key = append(binary.BigEndian.AppendUint32(key, uint32(s.first)), byte(s.state))
		any |= s.state
	}
	if any == 0 {
		return 0, nil
	}
	if id, ok := c.sets[string(key)]; ok {
		return id, nil
	}
	id := uint32(len(c.claims.sets))
	if id > MaxPortSets {
		return 0, fmt.Errorf("more than %d different sets of ports, over all destinations and protocols", MaxPortSets)
	}
	c.sets[string(key)] = id
	c.claims.sets = append(c.claims.sets, fill(segments))
	return id, nil
}

// fill lays segments out as the program reads them.
func fill(segments []segment) (set steerPortSet) {
	const perWord = 16
	for i, s := range segments {
		end := 1 << 16
		if i+1 < len(segments) {
			end = segments[i+1].first
		}
		for port := s.first; port < end && s.state != 0; port++ {
			set.Word[port/perWord] |= uint32(s.state) << (port % perWord * 2)
		}
	}
	return set
}
