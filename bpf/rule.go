package bpf

import (
	"fmt"
	"net/netip"
)

// Protocols is a set of transport protocols. The empty set means all of them.
type Protocols uint8

// The members of Protocols, which are also what a Service may have.
const (
	TCP Protocols = 1 << iota
	UDP
	SCTP

	allProtocols = TCP | UDP | SCTP
)

func (p Protocols) orAll() Protocols {
	if p == 0 {
		return allProtocols
	}
	return p
}

// PortRange is the ports from First to Last, both included, in host order.
type PortRange struct {
	First, Last uint16
}

// allPorts is every port, 0 included.
var allPorts = PortRange{0, 65535}

func (r PortRange) contains(port uint16) bool { return r.First <= port && port <= r.Last }

// Rule is a firewall mark's rule as far as steering needs it. Rules are ordered
// and the first that matches wins. All fields that are not empty must match.
type Rule struct {
	Protocols Protocols
	// Destinations and Sources are prefixes of either family. A rule with
	// prefixes of one family only does not match packets of the other.
	Destinations, Sources         []netip.Prefix
	DestinationPorts, SourcePorts []PortRange
	// Interfaces are indices of the interfaces that a packet came in by.
	Interfaces []int
	// VLANs are identifiers of the outermost tag (0-4094); 0 is a frame without a tag.
	VLANs []uint16
	// DSCPs are differentiated services code points (0-63).
	DSCPs []uint8
	// Claimed says that a virtual service exists for the rule's mark. A packet
	// that matches a rule without one is left to the services by address.
	Claimed bool
}

// Service is a virtual service by address. It claims what matches it unless a
// rule with a service did.
type Service struct {
	Protocol Protocols // exactly one
	Addr     netip.Addr
	Port     uint16 // 0 is all ports
	// FTP makes a TCP service on port 21 claim port 20 and the unprivileged
	// ports (1024 and up) of its address too, for data connections, as IPVS does
	// for persistent services (ip_vs_service_find, ip_vs_ctl.c).
	FTP bool
}

// Limits of what Update takes. They bound the kernel memory of one generation
// of rules, of which two exist during an update.
const (
	// MaxPrefixes is how many different destination prefixes, of rules and
	// services together, there may be: 64 bytes each, and as many for a node of the tree.
	MaxPrefixes = 65536
	// MaxPortSets is how many different sets of ports there may be, over all
	// destinations and protocols: 16 KiB each.
	MaxPortSets = 4096
	// MaxWalk is how many conditions a packet may have to walk: those of the
	// rules that may match its protocol, destination and source and that matter to
	// some port that protocol and destination alone do not decide. A rule counts
	// once for each combination of its port ranges, source port ranges, pairs of
	// interfaces and pairs of VLANs. A step costs about 20 ns.
	MaxWalk = 1024
	// MaxSources is how many source prefixes such rules may have, counted for each
	// destination and protocol that has other rules than the rest.
	MaxSources = 65536
	// MaxConditions is how many conditions there may be in all, equal lists
	// counted once: 32 bytes each.
	MaxConditions = 65536
)

const (
	ftpControl        = 21
	ftpData           = 20
	firstUnprivileged = 1024 // PROT_SOCK
	maxVLAN           = 4094
	maxDSCP           = 63
)

func (r *Rule) validate() error {
	if r.Protocols&^allProtocols != 0 {
		return fmt.Errorf("protocols %#x: only tcp, udp and sctp have ports", uint8(r.Protocols))
	}
	for _, list := range [][]netip.Prefix{r.Destinations, r.Sources} {
		for _, p := range list {
			if !p.IsValid() {
				return fmt.Errorf("invalid prefix %v", p)
			}
			if p.Addr().Is4In6() {
				return fmt.Errorf("prefix %s is an IPv4-mapped one: write it as IPv4", p)
			}
		}
	}
	for _, list := range [][]PortRange{r.DestinationPorts, r.SourcePorts} {
		for _, p := range list {
			if p.First > p.Last {
				return fmt.Errorf("port range %d-%d runs backwards", p.First, p.Last)
			}
		}
	}
	return r.validatePath()
}

func (r *Rule) validatePath() error {
	for _, i := range r.Interfaces {
		if i < 1 || int64(i) > int64(^uint32(0)) {
			return fmt.Errorf("interface index %d", i)
		}
	}
	for _, v := range r.VLANs {
		if v > maxVLAN {
			return fmt.Errorf("VLAN %d is above %d", v, maxVLAN)
		}
	}
	for _, d := range r.DSCPs {
		if d > maxDSCP {
			return fmt.Errorf("DSCP %d is above %d", d, maxDSCP)
		}
	}
	return nil
}

func (s *Service) validate() error {
	switch s.Protocol {
	case TCP, UDP, SCTP:
	default:
		return fmt.Errorf("protocol %#x is not exactly one of tcp, udp and sctp", uint8(s.Protocol))
	}
	if !s.Addr.IsValid() || s.Addr.Is4In6() || s.Addr.Zone() != "" {
		return fmt.Errorf("address %q is not a plain IPv4 or IPv6 one", s.Addr)
	}
	if s.FTP && (s.Protocol != TCP || s.Port != ftpControl) {
		return fmt.Errorf("FTP on port %d: only a TCP service on port %d has data connections", s.Port, ftpControl)
	}
	return nil
}

// claims reports whether the service claims a port of its address.
func (s *Service) claims(port uint16) bool {
	if s.FTP && (port == ftpData || port >= firstUnprivileged) {
		return true
	}
	return s.Port == 0 || s.Port == port
}
