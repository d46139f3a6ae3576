package bpf

import (
	"net/netip"
	"slices"
)

// view is what one destination prefix and protocol sees of the rules and
// services: those that may match, in order.
type view struct {
	rules    []seenRule
	services []Service
	walked   []bool       // which rules some conditional port needs; set by segments
	any      netip.Prefix // of its family
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
func (c *compiler) view(any netip.Prefix, protocol Protocols, numbers []int, services []Service) view {
	v := view{any: any}
	for _, n := range numbers {
		r := &c.rules[n]
		if r.Protocols.orAll()&protocol == 0 {
			continue
		}
		if s, ok := see(r, any); ok {
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
func see(r *Rule, any netip.Prefix) (seenRule, bool) {
	s := seenRule{Rule: r, ports: r.DestinationPorts, fromPorts: r.SourcePorts}
	for _, p := range masked(r.Sources) {
		if p.Addr().Is4() == any.Addr().Is4() {
			s.sources = append(s.sources, p)
		}
	}
	if len(r.Sources) > 0 && len(s.sources) == 0 {
		return s, false
	}
	if len(s.sources) == 0 || slices.ContainsFunc(s.sources, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		s.sources = []netip.Prefix{any}
	}
	if len(s.ports) == 0 {
		s.ports = []PortRange{allPorts}
	}
	if slices.Contains(s.fromPorts, allPorts) {
		s.fromPorts = nil
	}
	s.conditional = s.sources[0] != any || len(s.fromPorts)+len(r.Interfaces)+len(r.VLANs)+len(r.DSCPs) > 0
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
