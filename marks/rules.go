package marks

import (
	"errors"
	"fmt"
	"net/netip"
)

// Rules are compiled rules. The zero Rules have no rule: nothing is marked.
//
// For each dimension of a packet (its destination, its port, ...) a lookup
// yields a row of bits, one bit for each rule, set if the rule accepts the
// packet's value. The first bit that is set in all rows is the rule that
// matches:
//
//	                rule   0 1 2 3 4 5 ...
//	destination .10        1 0 1 0 0 1
//	port 443               0 1 1 0 1 1
//	protocol TCP           1 1 1 1 0 0
//	                           ^ rule 2
//
// With each row comes a word that tells which of its words are not zero, so that
// of a thousand rules' sixteen words usually one is looked at. This is the
// aggregated bit vector of Baboescu and Varghese (SIGCOMM 2001).
type Rules struct {
	marks []Mark // by rule
	rows  rows

	destination, source         *addresses
	destinationPort, sourcePort *values
	protocol, vlan, dscp        *values
	interfaces                  *interfaces
}

// dimensions is how many a packet has.
const dimensions = 8

// Compile compiles rules; the first has precedence. Its errors wrap a *RuleError
// for each rule that is wrong.
func Compile(rules []Rule) (*Rules, error) {
	if len(rules) > MaxRules {
		return nil, fmt.Errorf("%d rules, at most %d are possible", len(rules), MaxRules)
	}
	var errs []error
	for i := range rules {
		if err := rules[i].validate(); err != nil {
			errs = append(errs, &RuleError{i, err})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c := &Rules{rows: newRows(len(rules))}
	for _, r := range rules {
		c.marks = append(c.marks, r.Mark)
	}
	if err := c.compile(rules); err != nil {
		return nil, err
	}
	c.rows.known = nil
	return c, nil
}

// compile fills in the dimensions.
func (c *Rules) compile(rules []Rule) error {
	var errs []error
	prefixes := func(name string, of func(*Rule) []netip.Prefix) *addresses {
		d, err := compileAddresses(name, collect(rules, of), &c.rows)
		errs = append(errs, err)
		return d
	}
	table := func(name string, size int, of func(*Rule) []interval) *values {
		d, err := compileValues(name, size, collect(rules, of), &c.rows)
		errs = append(errs, err)
		return d
	}
	c.destination = prefixes("destinations", func(r *Rule) []netip.Prefix { return r.Destinations })
	c.source = prefixes("sources", func(r *Rule) []netip.Prefix { return r.Sources })
	c.destinationPort = table("destination ports", 1<<16, func(r *Rule) []interval { return ranges(r.DestinationPorts) })
	c.sourcePort = table("source ports", 1<<16, func(r *Rule) []interval { return ranges(r.SourcePorts) })
	c.protocol = table("protocols", 1<<8, func(r *Rule) []interval { return singles(r.Protocols) })
	c.vlan = table("VLANs", vlanMask+1, func(r *Rule) []interval { return singles(r.VLANs) })
	c.dscp = table("DSCPs", maxDSCP+1, func(r *Rule) []interval { return singles(r.DSCPs) })
	var err error
	c.interfaces, err = compileInterfaces(rules, &c.rows)
	return errors.Join(append(errs, err)...)
}

// collect returns the list of each rule.
func collect[T any](rules []Rule, of func(*Rule) []T) [][]T {
	lists := make([][]T, len(rules))
	for i := range rules {
		lists[i] = of(&rules[i])
	}
	return lists
}

func ranges(list []Ports) []interval {
	var out []interval
	for _, p := range list {
		out = append(out, interval{int(p.First), int(p.Last)})
	}
	return out
}

func singles[T ~uint8 | ~uint16](list []T) []interval {
	var out []interval
	for _, v := range list {
		out = append(out, interval{int(v), int(v)})
	}
	return out
}
