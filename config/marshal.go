package config

import (
	"bytes"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// Marshal writes the configuration as a file that says everything, defaults
// included, always in the same form. Parsing it yields an equal Config.
func (c *Config) Marshal() []byte {
	var w writer
	w.host(c)
	w.marks(c.Marks)
	w.services(c.Services)
	return w.Bytes()
}

// Equal reports whether two configurations mean the same.
func Equal(a, b *Config) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// writer writes YAML.
type writer struct{ bytes.Buffer }

func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(w, format, args...)
	w.WriteByte('\n')
}

func (w *writer) host(c *Config) {
	w.line("interfaces:")
	for _, i := range c.Interfaces {
		macs := ""
		if len(i.MACs) > 0 {
			macs = ", macs: " + i.macs()
		}
		w.line("  - {name: %q, %s%s}", i.Name, i.settings(), macs)
	}
	last := ""
	for _, s := range c.hostSettings() {
		section, key, _ := strings.Cut(s.key, ".")
		if section != last {
			w.line("%s:", section)
			last = section
		}
		w.line("  %s: %s", key, s.value)
	}
}

// settings is what is said of an interface, beside its name and what a reload can change.
func (i Interface) settings() string {
	return fmt.Sprintf("queues: %s, mode: %s", intList(i.Queues, "all"), i.Mode)
}

// macs is the interface's further addresses as in a file.
func (i Interface) macs() string {
	return list(i.MACs, func(mac [6]byte) string { return strconv.Quote(macName(mac)) })
}

// setting is a key of a file and its value in YAML.
type setting struct{ key, value string }

// hostSettings is what is said of the host, beside its interfaces. The keys of
// a section follow each other.
func (c *Config) hostSettings() []setting {
	all := []setting{
		{"rings.frames", strconv.Itoa(c.Rings.Frames)},
		{"rings.frame_size", strconv.Itoa(c.Rings.FrameSize)},
		{"rings.rx", strconv.Itoa(c.Rings.RX)},
		{"rings.tx", strconv.Itoa(c.Rings.TX)},
		{"rings.fill", strconv.Itoa(c.Rings.Fill)},
		{"rings.completion", strconv.Itoa(c.Rings.Completion)},
		{"rings.batch", strconv.Itoa(c.Rings.Batch)},
		{"rings.transmit_budget", strconv.Itoa(c.Rings.TransmitBudget)},
		{"rings.huge_pages", strconv.FormatBool(c.Rings.HugePages)},
		{"rings.busy_poll", c.Rings.BusyPoll.String()},
		{"workers.cpus", intList(c.Workers.CPUs, "auto")},
		{"workers.spin", spinName(c.Workers.Spin)},
		{"steering.fallback", string(c.Steering.Fallback)},
		{"steering.pin", strconv.Quote(c.Steering.Pin)},
		{"steering.express", string(c.Steering.Express)},
		{"tables.connections", strconv.Itoa(c.Tables.Connections)},
		{"tables.connections6", strconv.Itoa(c.Tables.Connections6)},
		{"tables.templates", strconv.Itoa(c.Tables.Templates)},
		{"tables.templates6", strconv.Itoa(c.Tables.Templates6)},
		{"tables.servers", strconv.Itoa(c.Tables.Servers)},
		{"defaults.expire_nodest", strconv.FormatBool(c.ExpireNoDest)},
		{"defaults." + keyRefuse, c.Refuse.String()},
		{"addresses.add", strconv.FormatBool(c.Addresses.Add)},
	}
	if a := c.Addresses; a.Add {
		vips := "auto"
		if len(a.VIPs) > 0 {
			vips = list(a.VIPs, quotedAddr)
		}
		all = append(all,
			setting{"addresses.interface", strconv.Quote(a.Interface)},
			setting{"addresses.vips", vips},
			setting{"addresses.announce", strconv.FormatBool(len(a.AnnounceOn) > 0)})
		if len(a.AnnounceOn) > 0 {
			all = append(all, setting{"addresses.announce_on", list(a.AnnounceOn, strconv.Quote)})
		}
		all = append(all,
			setting{"addresses.announce_count", strconv.Itoa(a.AnnounceCount)},
			setting{"addresses.announce_interval", span(a.AnnounceInterval)})
	}
	return append(all,
		setting{"control.socket", strconv.Quote(c.Control.Socket)},
		setting{"log.level", c.Log.Level},
		setting{"log.format", c.Log.Format})
}

func (w *writer) marks(rules []MarkRule) {
	if len(rules) > 0 {
		w.line("marks:")
	}
	for _, rule := range rules {
		w.line("  - mark: %d", rule.Mark)
		w.line("    match:")
		for _, m := range rule.Matches {
			w.line("      - {%s}", m)
		}
	}
}

// String is the match as in a file, without the braces.
func (m Match) String() string {
	keys := []string{"destination: " + list(m.Destinations, quotedPrefix)}
	add := func(key string, n int, text string) {
		if n > 0 {
			keys = append(keys, key+": "+text)
		}
	}
	add("protocol", len(m.Protocols), list(m.Protocols, protocolName))
	add("source", len(m.Sources), list(m.Sources, quotedPrefix))
	add("ports", len(m.Ports), list(m.Ports, Range.String))
	add("source_ports", len(m.SourcePorts), list(m.SourcePorts, Range.String))
	add("interface", len(m.Interfaces), list(m.Interfaces, strconv.Quote))
	add("vlan", len(m.VLANs), list(m.VLANs, func(n uint16) string { return strconv.Itoa(int(n)) }))
	add("dscp", len(m.DSCPs), list(m.DSCPs, func(n uint8) string { return strconv.Itoa(int(n)) }))
	return strings.Join(keys, ", ")
}

func (w *writer) services(services []Service) {
	if len(services) > 0 {
		w.line("services:")
	}
	for i := range services {
		s := &services[i]
		w.line("  - %s", keyYAML(s.Key))
		if s.Name != "" {
			w.line("    name: %q", s.Name)
		}
		for _, setting := range s.settings() {
			w.line("    %s: %s", setting.key, setting.value)
		}
		if len(s.Servers) > 0 {
			w.line("    servers:")
		}
		for _, r := range s.Servers {
			w.line("      - {address: %q, weight: %d, upper_threshold: %d, lower_threshold: %d}",
				r.Addr, r.Weight, r.UpperThreshold, r.LowerThreshold)
		}
	}
}

// keyYAML is the keys that name a service.
func keyYAML(k service.Key) string {
	if k.Mark != 0 {
		return fmt.Sprintf("fwmark: %d\n    family: %s", k.Mark, familyName(k.IPv6))
	}
	return fmt.Sprintf("address: %q\n    protocol: %s\n    port: %d", k.Addr, protocolName(k.Protocol), k.Port)
}

// settings is what a service is told, beside its key, name and servers.
func (s *Service) settings() []setting {
	all := []setting{{"scheduler", s.Scheduler.Name}}
	if len(s.Scheduler.Options.Flags) > 0 {
		all = append(all, setting{"flags", list(s.Scheduler.Options.Flags, func(flag string) string { return flag })})
	}
	if n := s.Scheduler.Options.MaglevIndex; n > 0 {
		all = append(all, setting{keyIndex, strconv.Itoa(n)})
	}
	if n := s.Scheduler.Options.CacheSize; n > 0 {
		all = append(all, setting{keyExpiration, span(s.Scheduler.Options.Expiration)}, setting{keyCache, strconv.Itoa(n)})
	}
	if s.Persistent {
		p := s.Persistence
		all = append(all, setting{"persistence", fmt.Sprintf("{timeout: %s, mask: %s, mask6: %d, refresh: %s}",
			span(p.Timeout), maskName(p.Mask), mask6Length(p.Mask6), refreshes[p.Refresh].name)})
	}
	return append(all,
		setting{"one_packet", strconv.FormatBool(s.OnePacket)},
		setting{"timeouts", timeoutsYAML(s.Timeouts)},
		setting{"expire_quiescent", strconv.FormatBool(s.ExpireQuiescent)},
		setting{"expire_nodest", strconv.FormatBool(s.ExpireNoDest)},
		setting{"sloppy", strconv.FormatBool(s.Sloppy)},
		setting{"persistent_thresholds", strconv.FormatBool(s.PersistentThresholds)},
		setting{keyRefuse, s.Refuse.String()},
		setting{keyUnreachable, unreachableName(s.KeepUnreachable)},
		setting{keyTooBig, tooBigName(s.AnswerTooBig)},
	)
}

func timeoutsYAML(t service.Timeouts) string {
	return fmt.Sprintf("{tcp: {syn_recv: %s, established: %s, fin_wait: %s, close: %s}, udp: %s, "+
		"sctp: {init: %s, established: %s, shutdown: %s, closed: %s}, fragment: %s}",
		span(t.SynRecv), span(t.Established), span(t.FinWait), span(t.Close), span(t.UDP),
		span(t.SCTPInit), span(t.SCTPEstablished), span(t.SCTPShutdown), span(t.SCTPClosed), span(t.Fragment))
}

// maskName is an IPv4 mask as a length if it is one, else as four bytes.
func maskName(m packet.Addr) string {
	for length := range 33 {
		if m == mask4(length) {
			return strconv.Itoa(length)
		}
	}
	return packet.AddrFrom4(uint32(m.Lo)).String()
}

// mask6Length is the prefix length of an IPv6 mask.
func mask6Length(m packet.Addr) int { return bits.OnesCount64(m.Hi) + bits.OnesCount64(m.Lo) }

func familyName(ipv6 bool) string {
	if ipv6 {
		return "ipv6"
	}
	return "ipv4"
}

func spinName(spin bool) string {
	if spin {
		return "adaptive"
	}
	return "off"
}

func quotedAddr(ip netip.Addr) string { return strconv.Quote(ip.String()) }

func quotedPrefix(p netip.Prefix) string { return strconv.Quote(p.String()) }

// list is a list in brackets.
func list[T any](all []T, text func(T) string) string {
	words := make([]string, len(all))
	for i, element := range all {
		words[i] = text(element)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// intList is a list of numbers, or the word for none.
func intList(all []int, none string) string {
	if len(all) == 0 {
		return none
	}
	return list(all, strconv.Itoa)
}
