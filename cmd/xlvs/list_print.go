package main

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/xlvs/xlvs/control"
)

// printer prints listings and keeps the first error of its writer.
type printer struct {
	w    io.Writer
	json bool
	err  error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// service prints one service and its servers in ipvsadm's columns (ipvsadm.c,
// print_service_entry).
func (p *printer) service(s *control.ServiceStatus, what string) {
	name := serviceName(s)
	switch what {
	case "stats":
		p.printf("%-33s %s\n", name, stats(s.Stats))
	case "rate":
		p.printf("%-33s %s\n", name, rate(s.Rate))
	default:
		p.printf("%s %s%s\n", name, s.Scheduler, serviceFlags(s))
	}
	for i := range s.Servers {
		r := &s.Servers[i]
		address := "  -> " + netip.AddrPortFrom(r.Address, r.Port).String()
		switch what {
		case "stats":
			p.printf("%-33s %s\n", address, stats(r.Stats))
		case "rate":
			p.printf("%-33s %s\n", address, rate(r.Rate))
		default:
			p.printf("%-33s %-7s %-6d %-10d %-10d%s\n", address, r.Forward, r.Weight, r.Active, r.Inactive, serverNote(r))
		}
	}
}

func serviceName(s *control.ServiceStatus) string {
	if s.Mark == 0 {
		return fmt.Sprintf("%-4s %s", s.Protocol, netip.AddrPortFrom(s.Address, s.Port))
	}
	if s.IPv6 {
		return fmt.Sprintf("FWM  %d IPv6", s.Mark)
	}
	return fmt.Sprintf("FWM  %d", s.Mark)
}

func serviceFlags(s *control.ServiceStatus) string {
	var b strings.Builder
	if len(s.Flags) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(s.Flags, ","))
	}
	if s.Persistence > 0 {
		fmt.Fprintf(&b, " persistent %g", s.Persistence)
		if s.Mask.IsValid() && s.Mask != netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			fmt.Fprintf(&b, " mask %s", s.Mask)
		}
		if s.Mask6 != 0 && s.Mask6 != 128 {
			fmt.Fprintf(&b, " mask %d", s.Mask6)
		}
	}
	if s.OnePacket {
		b.WriteString(" ops")
	}
	return b.String()
}

// serverNote says in words what the columns cannot.
func serverNote(r *control.ServerStatus) string {
	switch {
	case r.Unreachable:
		return " (unreachable, no new clients: " + r.Neighbour + ")"
	case !r.Reachable:
		return " (unreachable: " + r.Neighbour + ")"
	case r.Overloaded:
		return " (overloaded)"
	case r.ByRouter:
		return " (not on link: " + r.Neighbour + ")"
	}
	return ""
}

// stats prints counts as ipvsadm does: eight digits, then K, M, G, T.
func stats(t control.Traffic) string {
	return fmt.Sprintf("%8s %8s %8d %8s %8d", large(t.Connections), large(t.Packets), 0, large(t.Bytes), 0)
}

func rate(r control.Rate) string {
	return fmt.Sprintf("%8s %8s %8d %8s %8d", large(uint64(r.Connections)), large(uint64(r.Packets)), 0, large(uint64(r.Bytes)), 0)
}

// large is ipvsadm's print_largenum.
func large(n uint64) string {
	const thousand = 1000
	for _, unit := range []string{"", "K", "M", "G"} {
		if n < 100_000_000/max(1, uint64(len(unit))) {
			return fmt.Sprint(n) + unit
		}
		n /= thousand
	}
	return fmt.Sprint(n) + "T"
}

// clock prints seconds as ipvsadm does, minutes:seconds.
func clock(seconds float64) string {
	s := int(max(seconds, 0))
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

// counts prints the counters that are not zero, by name.
func (p *printer) counts(title string, counts map[string]uint64) {
	p.printf("%s\n", title)
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] != 0 {
			p.printf("  %-34s %12d\n", name, counts[name])
		}
	}
}
