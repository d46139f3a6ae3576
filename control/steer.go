package control

import (
	"net/netip"
	"slices"

	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// steerRules are the mark rules as the XDP program takes them. There is a rule
// for each family, because a mark may have a service of one family only, which
// claims only that family's packets.
func steerRules(rules []marks.Rule, services []*service.VirtualService) []bpf.Rule {
	marked := map[service.Key]bool{}
	for _, vs := range services {
		marked[vs.Key] = vs.Key.Mark != 0
	}
	var out []bpf.Rule
	for i := range rules {
		for _, ipv6 := range []bool{false, true} {
			if r, ok := steerRule(&rules[i], ipv6); ok {
				r.Claimed = marked[service.Key{Mark: uint32(rules[i].Mark), IPv6: ipv6}]
				out = append(out, r)
			}
		}
	}
	return out
}

// segmentsPerSecond is how many TCP segments of no connection every CPU lets through to the
// workers in a second: as many as a worker may answer.
const segmentsPerSecond = 1000

// noConnectionLimit is the limit of such segments, 0 for none: a sloppy service makes
// connections of them.
func noConnectionLimit(services []*service.VirtualService) uint32 {
	if slices.ContainsFunc(services, func(vs *service.VirtualService) bool { return vs.Sloppy }) {
		return 0
	}
	return segmentsPerSecond
}

// steerRule is the part of a rule that is about one family, if there is one.
func steerRule(r *marks.Rule, ipv6 bool) (bpf.Rule, bool) {
	out := bpf.Rule{
		Protocols:    steerProtocols(r.Protocols),
		Destinations: ofFamily(r.Destinations, ipv6), Sources: ofFamily(r.Sources, ipv6),
		DestinationPorts: steerPorts(r.DestinationPorts), SourcePorts: steerPorts(r.SourcePorts),
		VLANs: r.VLANs, DSCPs: r.DSCPs,
	}
	for _, index := range r.Interfaces {
		out.Interfaces = append(out.Interfaces, int(index))
	}
	return out, len(out.Destinations) > 0 && (len(out.Sources) > 0 || len(r.Sources) == 0)
}

func ofFamily(prefixes []netip.Prefix, ipv6 bool) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range prefixes {
		if p.Addr().Is6() == ipv6 {
			out = append(out, p)
		}
	}
	return out
}

func steerPorts(ranges []marks.Ports) []bpf.PortRange {
	var out []bpf.PortRange
	for _, r := range ranges {
		out = append(out, bpf.PortRange(r))
	}
	return out
}

func steerProtocols(protocols []packet.Protocol) bpf.Protocols {
	var set bpf.Protocols
	for protocol, bit := range map[packet.Protocol]bpf.Protocols{packet.TCP: bpf.TCP, packet.UDP: bpf.UDP, packet.SCTP: bpf.SCTP} {
		if slices.Contains(protocols, protocol) {
			set |= bit
		}
	}
	return set
}

// steerServices are the services by address as the XDP program takes them.
func steerServices(services []*service.VirtualService) []bpf.Service {
	var out []bpf.Service
	for _, vs := range services {
		if vs.Key.Mark != 0 {
			continue
		}
		out = append(out, bpf.Service{
			Protocol: steerProtocols([]packet.Protocol{vs.Key.Protocol}), Addr: vs.Key.Addr, Port: vs.Key.Port,
			FTP: vs.Key.Protocol == packet.TCP && vs.Key.Port == 21 && vs.Persistent,
		})
	}
	return out
}
