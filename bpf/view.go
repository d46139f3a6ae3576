package bpf

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// view is what one destination prefix and protocol sees of the rules and
// services: those that may match, in order.
type view struct {
	rules    []seenRule
	services []Service
	walked   []bool // which rules some conditional port needs; set by segments
}

// seenRule is a rule as one family sees it: empty lists become what they mean.
type seenRule struct {
	*Rule
	number           int // from 0, in the caller's order
	ports, fromPorts []PortRange
	sources          []netip.Prefix
	conditional      bool // asks for more than protocol, destination and port
}

// segment is a run of ports in one state, up to the next segment's first.
type segment struct {
	first int
	state steerPortState
}

// view picks the rules that may match a packet of the family and protocol.
func (c *compiler) view(is4 bool, protocol Protocols, numbers []int, services []Service) view {
	var v view
	for _, n := range numbers {
		r := &c.rules[n]
		if r.Protocols.orAll()&protocol == 0 {
			continue
		}
		if s, ok := see(r, is4); ok {
			s.number = n
			v.rules = append(v.rules, s)
		}
	}
	for _, s := range services {
		if s.Protocol == protocol {
			v.services = append(v.services, s)
		}
	}
	v.walked = make([]bool, len(v.rules))
	return v
}

// see returns the rule as a family sees it; not at all if its sources are of the other.
func see(r *Rule, is4 bool) (seenRule, bool) {
	s := seenRule{Rule: r, ports: r.DestinationPorts, fromPorts: r.SourcePorts}
	for _, p := range masked(r.Sources) {
		if p.Addr().Is4() == is4 {
			s.sources = append(s.sources, p)
		}
	}
	if len(r.Sources) > 0 && len(s.sources) == 0 {
		return s, false
	}
	if slices.ContainsFunc(s.sources, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		s.sources = nil
	}
	if len(s.ports) == 0 {
		s.ports = []PortRange{allPorts}
	}
	if slices.Contains(s.fromPorts, allPorts) {
		s.fromPorts = nil
	}
	s.conditional = len(s.sources)+len(s.fromPorts)+len(r.Interfaces)+len(r.VLANs)+len(r.DSCPs) > 0
	if len(s.sources) == 0 {
		s.sources = []netip.Prefix{anyIPv6} // no bit of it is compared
	}
	if len(s.fromPorts) == 0 {
		s.fromPorts = []PortRange{allPorts}
	}
	return s, true
}

func (s *seenRule) hasPort(port uint16) bool {
	return slices.ContainsFunc(s.ports, func(r PortRange) bool { return r.contains(port) })
}

// segments returns the state of all ports, and notes the rules to be walked.
func (v *view) segments() []segment {
	var list []segment
	for _, first := range v.cuts() {
		state := v.state(uint16(first))
		if n := len(list); n > 0 && list[n-1].state == state {
			continue
		}
		list = append(list, segment{first, state})
	}
	return list
}

// cuts returns the ports at which the state may change, in order, 0 first.
func (v *view) cuts() []int {
	cuts := []int{0}
	cut := func(r PortRange) { cuts = append(cuts, int(r.First), int(r.Last)+1) }
	for i := range v.rules {
		for _, r := range v.rules[i].ports {
			cut(r)
		}
	}
	for _, s := range v.services {
		cut(PortRange{s.Port, s.Port})
		if s.FTP {
			cut(PortRange{ftpData, ftpData})
			cut(PortRange{firstUnprivileged, 65535})
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	if n := len(cuts); cuts[n-1] == 1<<16 {
		cuts = cuts[:n-1]
	}
	return cuts
}

// state decides a port as far as it can without the packet: by the first rule
// that matches whatever the packet, if no rule before it can come to another
// result.
func (v *view) state(port uint16) steerPortState {
	byAddress := slices.ContainsFunc(v.services, func(s Service) bool { return s.claims(port) })
	result := byAddress
	var before []int           // conditional rules seen so far, and the last one
	var mayClaim, mayPass bool // what those before the last one may come to
	for i := range v.rules {
		r := &v.rules[i]
		if !r.hasPort(port) {
			continue
		}
		before = append(before, i)
		claimed := r.Claimed || byAddress
		if !r.conditional {
			result = claimed
			break
		}
		mayClaim = mayClaim || claimed
		mayPass = mayPass || !claimed
	}
	if result && !mayPass {
		return steerPortStatePORT_CLAIMED
	}
	if !result && !mayClaim {
		return 0
	}
	for _, i := range before {
		v.walked[i] = true
	}
	if byAddress {
		return steerPortStatePORT_CONDITIONAL | steerPortStatePORT_CLAIMED
	}
	return steerPortStatePORT_CONDITIONAL
}

// A condition has room for so many interfaces and VLANs.
const perCondition = 2

// combinations is how many conditions the rule becomes.
func (s *seenRule) combinations() int {
	pairs := func(n int) int { return max((n+perCondition-1)/perCondition, 1) }
	return len(s.sources) * len(s.fromPorts) * len(s.ports) * pairs(len(s.Interfaces)) * pairs(len(s.VLANs))
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
	for _, path := range s.paths(base) {
		for _, source := range s.sources {
			path.Source, path.Mask = words(source)
			for _, from := range s.fromPorts {
				path.SourceLow, path.SourceHigh = from.First, from.Last
				for _, ports := range s.ports {
					path.PortLow, path.PortHigh = ports.First, ports.Last
					list = append(list, path)
				}
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

// words returns a prefix's address and mask as the program compares them: words
// in network byte order, an IPv4 address in the first.
func words(p netip.Prefix) (addr, mask [4]uint32) {
	a := p.Addr().AsSlice()
	for i := range len(a) / 4 {
		addr[i] = binary.NativeEndian.Uint32(a[4*i:])
		ones := min(max(p.Bits()-32*i, 0), 32)
		var m [4]byte
		binary.BigEndian.PutUint32(m[:], ^uint32(0)<<(32-ones))
		mask[i] = binary.NativeEndian.Uint32(m[:])
	}
	return addr, mask
}
