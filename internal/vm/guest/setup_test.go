//go:build vmtest

package guest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// setup is what a director is told to do, in words that both of them have.
type setup struct {
	marks    []rule
	services []virtual
	// The switches are for all services: sysctls of net.ipv4.vs in the kernel,
	// keys of each service in xlvs.
	expireQuiescent, expireNoDest, sloppy bool
	// udp is the timeout of UDP connections in seconds, 0 the default of 300.
	udp int
}

// rule gives packets for an address, protocol and ports a firewall mark.
type rule struct {
	mark     uint32
	protocol string
	vip      netip.Addr // unspecified is all of its family; IPVS only
	ports    []string   // numbers and ranges
}

// virtual is a virtual service, by mark, or by address, protocol and port.
type virtual struct {
	mark     uint32
	ipv6     bool
	protocol string
	vip      netip.Addr
	port     uint16

	scheduler   string
	flags       string // comma-separated
	persistence int    // seconds; 0 is none
	mask        string // dotted quad, or prefix length of IPv6; "" is each client for itself
	onePacket   bool
	servers     []server // in the order in which they are added
}

// server is a real server by its number.
type server struct {
	number, weight int
	upper, lower   int // thresholds
}

// servers are real servers numbered from 1 with these weights.
func servers(weights ...int) []server {
	var all []server
	for i, w := range weights {
		all = append(all, server{number: i + 1, weight: w})
	}
	return all
}

func (v *virtual) is6() bool { return v.ipv6 || v.vip.Is6() }

func (v *virtual) real(s server) netip.Addr {
	if v.is6() {
		return real6(s.number)
	}
	return real4(s.number)
}

// clone is a deep copy as far as plays change setups.
func (s setup) clone() setup {
	s.services = slices.Clone(s.services)
	for i := range s.services {
		s.services[i].servers = slices.Clone(s.services[i].servers)
	}
	return s
}

// sentinel is the service that a wire needs in every setup.
func sentinel() virtual {
	return virtual{
		protocol: "udp", vip: address(sentinelVIP), port: sentinelPort, scheduler: "rr", onePacket: true,
		servers: []server{{number: sentinelServer, weight: 1}},
	}
}

// yaml is the setup as xlvs's configuration, without the parts that only the
// instance knows.
func (s *setup) yaml() string {
	var b strings.Builder
	if len(s.marks) > 0 {
		b.WriteString("marks:\n")
	}
	for _, r := range s.marks {
		fmt.Fprintf(&b, "  - {mark: %d, match: {protocol: %s, destination: %q", r.mark, r.protocol, r.vip)
		if len(r.ports) > 0 {
			fmt.Fprintf(&b, ", ports: [%s]", strings.Join(r.ports, ", "))
		}
		b.WriteString("}}\n")
	}
	b.WriteString("services:\n")
	for _, v := range append(slices.Clone(s.services), sentinel()) {
		s.writeService(&b, &v)
	}
	return b.String()
}

func (s *setup) writeService(b *strings.Builder, v *virtual) {
	if v.mark != 0 {
		family := "ipv4"
		if v.ipv6 {
			family = "ipv6"
		}
		fmt.Fprintf(b, "  - fwmark: %d\n    family: %s\n", v.mark, family)
	} else {
		fmt.Fprintf(b, "  - address: %q\n    protocol: %s\n", v.vip, v.protocol)
		if v.port != 0 {
			fmt.Fprintf(b, "    port: %d\n", v.port)
		}
	}
	fmt.Fprintf(b, "    scheduler: %s\n", v.scheduler)
	if v.flags != "" {
		fmt.Fprintf(b, "    flags: [%s]\n", v.flags)
	}
	if v.persistence > 0 {
		fmt.Fprintf(b, "    persistence: {timeout: %ds", v.persistence)
		switch {
		case v.mask != "" && v.is6():
			fmt.Fprintf(b, ", mask6: %s", v.mask)
		case v.mask != "":
			fmt.Fprintf(b, ", mask: %s", v.mask)
		}
		b.WriteString("}\n")
	}
	if v.onePacket {
		b.WriteString("    one_packet: true\n")
	}
	fmt.Fprintf(b, "    expire_quiescent: %t\n    expire_nodest: %t\n    sloppy: %t\n", s.expireQuiescent, s.expireNoDest, s.sloppy)
	if s.udp != 0 {
		fmt.Fprintf(b, "    timeouts: {udp: %ds}\n", s.udp)
	}
	b.WriteString("    servers:")
	if len(v.servers) == 0 {
		b.WriteString(" []")
	}
	b.WriteString("\n")
	for _, r := range v.servers {
		fmt.Fprintf(b, "      - {address: %q, weight: %d, upper_threshold: %d, lower_threshold: %d}\n", v.real(r), r.weight, r.upper, r.lower)
	}
}
