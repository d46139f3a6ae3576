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
//	entries     destination prefix -> for each protocol, a set of ports and a list of conditions
//	sets        two bits a port: claimed, unclaimed, or ask the conditions; number 0 claims nothing
//	conditions  the lists, one after the other
//
// The program finds the longest prefix only, so each entry knows of all the
// rules whose destinations contain it. Equal sets and equal lists are stored once.
type claims struct {
	entries    map[netip.Prefix]steerEntry
	sets       []steerPortSet
	conditions []steerCondition
}

func (c *claims) equal(o *claims) bool {
	return o != nil && maps.Equal(c.entries, o.entries) && slices.Equal(c.sets, o.sets) &&
		slices.Equal(c.conditions, o.conditions)
}

// compiler is the state of one compilation.
type compiler struct {
	rules    []Rule
	services map[netip.Addr][]Service
	// covering holds the numbers of the rules, by destination prefix.
	covering bart.Table[[]int]

	claims   *claims
	setIDs   map[string]uint32
	listIDs  map[string]uint32
	lastRule int // the rule whose conditions came last, for error messages
}

// compile checks everything and compiles it. It has no effect on the kernel.
func compile(rules []Rule, services []Service) (*claims, error) {
	c := &compiler{
		rules:    rules,
		services: map[netip.Addr][]Service{},
		claims:   &claims{entries: map[netip.Prefix]steerEntry{}, sets: make([]steerPortSet, 1)},
		setIDs:   map[string]uint32{},
		listIDs:  map[string]uint32{},
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
			c.covering.Modify(p, func(numbers []int, _ bool) ([]int, bool) {
				return append(numbers, i), false
			})
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
	var numbers []int
	for _, n := range c.covering.Supernets(p) {
		numbers = append(numbers, n...)
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)

	var services []Service
	if p.IsSingleIP() {
		services = c.services[p.Addr()]
	}
	var entry steerEntry
	for i := range entry.Protocol {
		view := c.view(p.Addr().Is4(), Protocols(1<<i), numbers, services)
		claim, err := c.claim(&view)
		if err != nil {
			return err
		}
		entry.Protocol[i] = claim
	}
	c.claims.entries[p] = entry
	return nil
}

// claim stores a view's set of ports and its conditions.
func (c *compiler) claim(v *view) (steerClaim, error) {
	segments := v.segments()
	set, err := c.set(segments)
	if err != nil {
		return steerClaim{}, err
	}
	claim := steerClaim{Ports: set}
	claim.First, claim.Count, err = c.list(v)
	return claim, err
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
	if id, ok := c.setIDs[string(key)]; ok {
		return id, nil
	}
	id := uint32(len(c.claims.sets))
	if id > MaxPortSets {
		return 0, fmt.Errorf("more than %d different sets of ports, over all destinations and protocols", MaxPortSets)
	}
	c.setIDs[string(key)] = id
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

// list stores the conditions of the rules that a walk needs.
func (c *compiler) list(v *view) (first, count uint32, err error) {
	var list []steerCondition
	for i, r := range v.rules {
		if !v.walked[i] {
			continue
		}
		if n := len(list) + r.combinations(); n > MaxWalk {
			return 0, 0, fmt.Errorf("mark rule %d brings the conditions to walk to %d: at most %d; "+
				"name destinations, or fewer combinations of sources, ports, interfaces and VLANs", r.number+1, n, MaxWalk)
		}
		list = r.appendConditions(list)
	}
	if len(list) == 0 {
		return 0, 0, nil
	}
	key, err := binary.Append(nil, binary.NativeEndian, list)
	if err != nil {
		return 0, 0, fmt.Errorf("conditions: %w", err)
	}
	id, ok := c.listIDs[string(key)]
	if !ok {
		id = uint32(len(c.claims.conditions))
		if n := len(c.claims.conditions) + len(list); n > MaxConditions {
			return 0, 0, fmt.Errorf("more than %d conditions, over all destinations and protocols", MaxConditions)
		}
		c.listIDs[string(key)] = id
		c.claims.conditions = append(c.claims.conditions, list...)
	}
	return id, uint32(len(list)), nil
}

// dscpBits is the set of code points as the program has it.
func dscpBits(dscps []uint8) (set uint64) {
	for _, d := range dscps {
		set |= 1 << d
	}
	if set == 0 {
		return ^uint64(0)
	}
	return set
}
