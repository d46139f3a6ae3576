package marks

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/xlvs/xlvs/packet"
)

// Mark is a firewall mark; 0 is unmarked.
type Mark uint32

// Rule gives packets a mark. A packet matches if it has, for each list that is
// not empty, one of the list's values; a rule of empty lists matches every TCP,
// UDP and SCTP packet of both families.
type Rule struct {
	// Mark is what a matching packet gets. 0 leaves it unmarked, whatever later
	// rules say: an exception from them.
	Mark Mark
	// Protocols are TCP, UDP, SCTP.
	Protocols []packet.Protocol
	// Destinations and Sources are prefixes of either family. Bits beyond the
	// prefix length are ignored.
	Destinations, Sources []netip.Prefix
	// DestinationPorts and SourcePorts never match a later fragment, which has none.
	DestinationPorts, SourcePorts []Ports
	// Interfaces are the indices of the interfaces that a packet may come in by.
	Interfaces []uint32
	// VLANs are identifiers of the outermost tag (1-4094); 0 is untagged.
	VLANs []uint16
	// DSCPs are differentiated services code points (0-63).
	DSCPs []uint8
}

// Ports is a range of ports, both ends included.
type Ports struct {
	First, Last uint16
}

// Port is the range of one port.
func Port(p uint16) Ports { return Ports{p, p} }

// Limits of what Compile takes.
const (
	// MaxRules is how many rules there may be: 64 words of 64 bits, so that one
	// more word can tell which of them are not zero.
	MaxRules = 64 * 64
	// MaxConditions is how many values the lists of one kind may have, those of
	// all rules together. It bounds the memory of compiled rules: at most one row
	// of MaxRules bits (512 bytes) for each, and one more for each range.
	MaxConditions = 1 << 16
	// MaxInterfaces is how many interfaces all rules together may name.
	MaxInterfaces = 64

	maxVLAN  = 4094
	vlanMask = 4095
	maxDSCP  = 63
)

// RuleError says which rule is wrong.
type RuleError struct {
	Index int // of the rule, from 0
	Err   error
}

// Error is the text of the error, with the rule's number from 1.
func (e *RuleError) Error() string { return fmt.Sprintf("rule %d: %v", e.Index+1, e.Err) }

// Unwrap returns what is wrong with the rule.
func (e *RuleError) Unwrap() error { return e.Err }

// validate lists all that is wrong with the rule.
func (r *Rule) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, p := range r.Protocols {
		if p != packet.TCP && p != packet.UDP && p != packet.SCTP {
			bad("protocol %d: only TCP, UDP and SCTP can be marked", p)
		}
	}
	for _, list := range [][]netip.Prefix{r.Destinations, r.Sources} {
		for _, p := range list {
			switch {
			case !p.IsValid():
				bad("prefix %v is not valid", p)
			case p.Addr().Is4In6():
				bad("prefix %v: write it as IPv4", p)
			}
		}
	}
	for _, list := range [][]Ports{r.DestinationPorts, r.SourcePorts} {
		for _, p := range list {
			if p.First > p.Last {
				bad("ports %d-%d: the first is above the last", p.First, p.Last)
			}
		}
	}
	for _, i := range r.Interfaces {
		if i == 0 {
			bad("interface index 0 is none")
		}
	}
	for _, v := range r.VLANs {
		if v > maxVLAN {
			bad("VLAN %d: must be 1 to %d, or 0 for untagged", v, maxVLAN)
		}
	}
	for _, d := range r.DSCPs {
		if d > maxDSCP {
			bad("DSCP %d: must be 0 to %d", d, maxDSCP)
		}
	}
	return errors.Join(errs...)
}
