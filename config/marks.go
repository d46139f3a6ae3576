package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/xlvs/xlvs/packet"
)

// markRules are the rules as read, with what later checks need.
type markRules struct {
	rules []MarkRule
	// first is where a mark is first given.
	first map[uint32]value
	// destinations are every destination of every rule.
	destinations []markDestination
}

type markDestination struct {
	mark   uint32
	prefix netip.Prefix
	at     value
}

const maxMark = 1<<32 - 1

func readMarks(v value, interfaces []Interface) *markRules {
	m := &markRules{first: map[uint32]value{}}
	for _, item := range v.items() {
		f := item.fields("a mark rule", "mark", "match")
		rule := MarkRule{}
		if n, ok := f.required("mark rule", "mark", "mark: 80").number(1, maxMark); ok {
			rule.Mark = uint32(n)
			if _, ok := m.first[rule.Mark]; !ok {
				m.first[rule.Mark] = f.at("mark")
			}
		}
		match := f.required("mark rule", "match", "match: {destination: 203.0.113.10}")
		for _, one := range match.oneOrMore() {
			rule.Matches = append(rule.Matches, m.readMatch(one, rule.Mark, interfaces))
		}
		m.rules = append(m.rules, rule)
	}
	return m
}

func (m *markRules) readMatch(v value, mark uint32, interfaces []Interface) Match {
	f := v.fields("a match", "protocol", "destination", "source", "ports", "source_ports", "interface", "vlan", "dscp")
	const maxPort, maxVLAN = 65535, 4094
	match := Match{
		Protocols:   f.at("protocol").protocols(),
		Sources:     f.at("source").prefixes(),
		Ports:       f.at("ports").ranges(1, maxPort),
		SourcePorts: f.at("source_ports").ranges(1, maxPort),
		VLANs:       numbers[uint16](f.at("vlan").ranges(0, maxVLAN)),
		DSCPs:       f.at("dscp").dscps(),
	}
	for _, item := range f.at("interface").oneOrMore() {
		name := item.interfaceName()
		if name != "" && !known(interfaces, name) {
			item.errorf("interface %s is not one of this file's interfaces: add it to them, or remove it here", name)
		}
		match.Interfaces = append(match.Interfaces, name)
	}
	if !f.has("destination") && !f.absent() {
		f.errorf("match has no destination: add the virtual addresses, destination: 203.0.113.10; 0.0.0.0/0 takes every packet, those for the director itself too")
	}
	match.Destinations = m.readDestinations(f.at("destination"), mark)
	if len(match.Destinations) > 0 && len(match.Sources) > 0 && !shareFamily(match.Destinations, match.Sources) {
		f.at("source").conflictf(f.at("destination"), "other family",
			"source and destination are of different families, no packet matches: write both as IPv4 or both as IPv6")
	}
	return match
}

func (m *markRules) readDestinations(v value, mark uint32) []netip.Prefix {
	var all []netip.Prefix
	for _, item := range v.oneOrMore() {
		p, ok := item.prefix()
		if !ok {
			continue
		}
		if why := unusable(p.Addr()); why != "" && p.IsSingleIP() {
			item.errorf("%s %s %s", item.subject(), p.Addr(), why)
			continue
		}
		if p.Bits() == 0 {
			item.warnf("%s takes packets for the director itself too, SSH among them if the ports fit: name the virtual addresses", p)
		}
		all = append(all, p)
		m.destinations = append(m.destinations, markDestination{mark, p, item})
	}
	return all
}

// family reports whether rules give the mark to packets of the family.
func (m *markRules) family(mark uint32, ipv6 bool) bool {
	return slices.ContainsFunc(m.destinations, func(d markDestination) bool {
		return d.mark == mark && d.prefix.Addr().Is6() == ipv6
	})
}

func shareFamily(a, b []netip.Prefix) bool {
	return slices.ContainsFunc(a, func(p netip.Prefix) bool {
		return slices.ContainsFunc(b, func(q netip.Prefix) bool { return p.Addr().Is4() == q.Addr().Is4() })
	})
}

// protocolNames are the protocols by their names in the file.
var protocolNames = []struct {
	name     string
	protocol packet.Protocol
}{{"tcp", packet.TCP}, {"udp", packet.UDP}, {"sctp", packet.SCTP}}

// protocols reads one or more protocols; any is none.
func (v value) protocols() []packet.Protocol {
	if isWord(v, "any") {
		return nil
	}
	var all []packet.Protocol
	for _, item := range v.oneOrMore() {
		if p, ok := item.protocol("any"); ok && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	if len(all) == len(protocolNames) {
		return nil
	}
	return all
}

// protocol reads one protocol; more are the words that messages offer besides.
func (v value) protocol(more ...string) (packet.Protocol, bool) {
	s, ok := v.text()
	if !ok {
		return 0, false
	}
	words := []string{}
	for _, p := range protocolNames {
		if s == p.name {
			return p.protocol, true
		}
		words = append(words, p.name)
	}
	if slices.Contains(more, s) {
		v.errorf("%s %s does not go together with others: write it alone", v.subject(), s)
		return 0, false
	}
	v.errorf("%s %s is not known: %s", v.subject(), quote(s), choice(s, append(words, more...)))
	return 0, false
}

// dscpNames are the code points with a name (RFC 2474, 2597, 3246, 5865, 8622).
var dscpNames = func() map[string]uint8 {
	names := map[string]uint8{"ef": 46, "va": 44, "le": 1, "be": 0}
	for class := range uint8(8) {
		names[fmt.Sprintf("cs%d", class)] = class << 3
	}
	for class := uint8(1); class <= 4; class++ {
		for drop := uint8(1); drop <= 3; drop++ {
			names[fmt.Sprintf("af%d%d", class, drop)] = class<<3 | drop<<1
		}
	}
	return names
}()

// dscps reads code points: names, numbers and ranges.
func (v value) dscps() []uint8 {
	const maxDSCP = 63
	var all []uint8
	for _, item := range v.oneOrMore() {
		s, ok := item.text()
		if !ok {
			continue
		}
		if code, ok := dscpNames[strings.ToLower(s)]; ok {
			all = append(all, code)
		} else if _, isNumber := parseNumber(s); !isNumber && !strings.ContainsRune(s, '-') {
			item.errorf("%s %s is not a code point: write 0 to %d, or a name such as ef, af41 or cs6", item.subject(), quote(s), maxDSCP)
		} else if r, ok := item.numberRange(0, maxDSCP); ok {
			all = append(all, numbers[uint8]([]Range{r})...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
