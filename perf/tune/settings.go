package tune

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
)

// Key is a setting that may change while the director runs.
type Key struct {
	Name   string
	Values string // what it may be
	parse  func(s *control.Settings, text string) error
}

// Keys are all settings that Parse knows, but for coalescing.INTERFACE.
func Keys() []Key {
	busy := func(s *control.Settings) *control.BusyPollSettings {
		if s.BusyPoll == nil {
			s.BusyPoll = &control.BusyPollSettings{}
		}
		return s.BusyPoll
	}
	return []Key{
		{"batch", "1 to 256 frames", func(s *control.Settings, v string) error { return number(&s.Batch, v) }},
		{"transmit_budget", "32 to rings.tx frames", func(s *control.Settings, v string) error { return number(&s.TransmitBudget, v) }},
		{"spin", "adaptive or off", func(s *control.Settings, v string) error { return oneOf(&s.Spin, v, "adaptive", "off") }},
		{"cpus", "auto, or numbers and ranges: 2,4-7", func(s *control.Settings, v string) error { return cpuList(&s.CPUs, v) }},
		{"busy_poll", "on or off", func(s *control.Settings, v string) error { return oneOf(&busy(s).Enabled, v, "on", "off") }},
		{"busy_poll.microseconds", "1 to 10000", func(s *control.Settings, v string) error { return number(&busy(s).Microseconds, v) }},
		{"busy_poll.budget", "1 to 65535 frames", func(s *control.Settings, v string) error { return number(&busy(s).Budget, v) }},
		{"busy_poll.defer_hard_irqs", "0 to 1000 polls", func(s *control.Settings, v string) error { return number(&busy(s).DeferHardIRQs, v) }},
		{"busy_poll.gro_flush_timeout", "1000 to 100000000 ns", func(s *control.Settings, v string) error { return number(&busy(s).GROFlushTimeout, v) }},
		{"express", "auto, on or off", func(s *control.Settings, v string) error { s.Express = &v; return nil }},
		{"log_level", "debug, info, warn or error", func(s *control.Settings, v string) error { s.LogLevel = &v; return nil }},
	}
}

// CoalescingKeys are what coalescing.INTERFACE. is followed by.
var CoalescingKeys = []string{"rx_usecs", "rx_frames", "tx_usecs", "tx_frames", "adaptive_rx", "adaptive_tx"}

// fileNames are the keys as the configuration file has them.
var fileNames = map[string]string{
	"rings.batch": "batch", "rings.transmit_budget": "transmit_budget", "rings.busy_poll": "busy_poll",
	"rings.busy_poll.enabled": "busy_poll", "busy_poll.enabled": "busy_poll",
	"rings.busy_poll.microseconds": "busy_poll.microseconds", "rings.busy_poll.budget": "busy_poll.budget",
	"rings.busy_poll.defer_hard_irqs":   "busy_poll.defer_hard_irqs",
	"rings.busy_poll.gro_flush_timeout": "busy_poll.gro_flush_timeout",
	"workers.cpus":                      "cpus", "workers.spin": "spin", "steering.express": "express", "log.level": "log_level",
}

// needRestart are keys of the file that only a restart changes.
var needRestart = []string{
	"frames", "frame_size", "rx", "tx", "fill", "completion", "huge_pages", "queues", "mode", "interfaces",
	"connections", "connections6", "templates", "templates6", "servers", "socket", "pin",
}

// Parse reads KEY=VALUE arguments. It goes on after errors, so as to tell all.
func Parse(arguments []string) (*control.Settings, error) {
	s := &control.Settings{}
	var errs []error
	if len(arguments) == 0 {
		errs = append(errs, errors.New("nothing to set: give KEY=VALUE"))
	}
	for _, a := range arguments {
		key, text, ok := strings.Cut(a, "=")
		if strings.HasPrefix(a, "-") {
			errs = append(errs, fmt.Errorf("%s: options come before the first KEY=VALUE", key))
			continue
		}
		if !ok {
			errs = append(errs, fmt.Errorf("%q is not KEY=VALUE", a))
			continue
		}
		if err := parseOne(s, key, strings.TrimSpace(text)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	return s, errors.Join(errs...)
}

func parseOne(s *control.Settings, key, text string) error {
	if name := fileNames[key]; name != "" {
		key = name
	}
	for _, k := range Keys() {
		if k.Name == key {
			return k.parse(s, text)
		}
	}
	if rest, ok := strings.CutPrefix(key, "coalescing."); ok {
		return parseCoalescing(s, rest, text)
	}
	last := key[strings.LastIndexByte(key, '.')+1:]
	for _, name := range needRestart {
		if last == name {
			return errors.New("needs a restart: write it into the configuration file, then restart the director")
		}
	}
	var known []string
	for _, k := range Keys() {
		known = append(known, k.Name)
	}
	return fmt.Errorf("no such setting: there are %s, and coalescing.INTERFACE.KEY", strings.Join(known, ", "))
}

// parseCoalescing reads INTERFACE.KEY, or INTERFACE with the value "as before".
func parseCoalescing(s *control.Settings, rest, text string) error {
	if s.Coalescing == nil {
		s.Coalescing = map[string]nic.Coalescing{}
	}
	if text == "before" {
		s.Coalescing[rest] = nic.Coalescing{}
		return nil
	}
	dot := strings.LastIndexByte(rest, '.') // names of interfaces may have dots
	if dot < 1 {
		return fmt.Errorf("want coalescing.INTERFACE.KEY, a key of %s, or coalescing.INTERFACE=before", strings.Join(CoalescingKeys, ", "))
	}
	name, key := rest[:dot], rest[dot+1:]
	c := s.Coalescing[name]
	var err error
	switch key {
	case "rx_usecs":
		err = number(&c.RXMicroseconds, text)
	case "rx_frames":
		err = number(&c.RXFrames, text)
	case "tx_usecs":
		err = number(&c.TXMicroseconds, text)
	case "tx_frames":
		err = number(&c.TXFrames, text)
	case "adaptive_rx":
		err = oneOf(&c.AdaptiveRX, text, "on", "off")
	case "adaptive_tx":
		err = oneOf(&c.AdaptiveTX, text, "on", "off")
	default:
		err = fmt.Errorf("no such key of coalescing: there are %s", strings.Join(CoalescingKeys, ", "))
	}
	s.Coalescing[name] = c
	return err
}

// number reads a number that is not negative. Its limits are the director's to check.
func number[T int | uint32](to **T, text string) error {
	n, err := strconv.ParseUint(text, 0, 31)
	if err != nil {
		return fmt.Errorf("%q is not a whole number", text)
	}
	v := T(n)
	*to = &v
	return nil
}

func oneOf(to **bool, text, on, off string) error {
	switch text {
	case on, "true":
		v := true
		*to = &v
	case off, "false":
		v := false
		*to = &v
	default:
		return fmt.Errorf("%q is neither %s nor %s", text, on, off)
	}
	return nil
}

func cpuList(to **[]int, text string) error {
	cpus := []int{}
	if text != "auto" {
		cpus = nic.ParseCPUList(strings.Trim(text, "[]"))
		if len(cpus) == 0 {
			return fmt.Errorf("%q is neither auto nor a list of CPUs such as 2,4-7", text)
		}
	}
	*to = &cpus
	return nil
}

// YAML is what to write into the configuration file for settings to outlast a
// restart: the keys that changed has, with the values that now has. Coalescing has
// no place there.
func YAML(changed, now *control.Settings) string { return (&plan{Settings: *changed}).yaml(now) }

// yaml is [YAML] with the sizes of rings.
func (p *plan) yaml(now *control.Settings) string {
	var b strings.Builder
	section := func(name string, lines ...string) {
		text := strings.Join(lines, "")
		if text != "" {
			b.WriteString(name + ":\n" + text)
		}
	}
	line := func(set bool, format string, args ...any) string {
		if !set {
			return ""
		}
		return "  " + fmt.Sprintf(format, args...) + "\n"
	}
	size := func(name string, v *int) string { return line(v != nil, "%s: %d", name, value(v)) }
	section("rings",
		size("frames", p.frames), size("rx", p.rx), size("tx", p.tx), size("fill", p.fill), size("completion", p.completion),
		line(p.Batch != nil, "batch: %d", value(now.Batch)),
		line(p.TransmitBudget != nil, "transmit_budget: %d", value(now.TransmitBudget)),
		line(p.BusyPoll != nil, "busy_poll: %s", busyPollYAML(now.BusyPoll)))
	section("workers",
		line(p.CPUs != nil, "cpus: %s", cpusYAML(value(now.CPUs))),
		line(p.Spin != nil, "spin: %s", spinName(value(now.Spin))))
	section("steering", line(p.Express != nil, "express: %s", value(now.Express)))
	section("log", line(p.LogLevel != nil, "level: %s", value(now.LogLevel)))
	return b.String()
}

func busyPollYAML(b *control.BusyPollSettings) string {
	words := []string{fmt.Sprintf("enabled: %t", b != nil && value(b.Enabled))}
	if b == nil {
		b = &control.BusyPollSettings{}
	}
	for _, f := range []struct {
		name string
		v    *int
	}{
		{"microseconds", b.Microseconds}, {"budget", b.Budget},
		{"defer_hard_irqs", b.DeferHardIRQs}, {"gro_flush_timeout", b.GROFlushTimeout},
	} {
		if f.v != nil {
			words = append(words, fmt.Sprintf("%s: %d", f.name, *f.v))
		}
	}
	return "{" + strings.Join(words, ", ") + "}"
}

func cpusYAML(cpus []int) string {
	if len(cpus) == 0 {
		return "auto"
	}
	return strings.ReplaceAll(fmt.Sprint(cpus), " ", ", ")
}

func spinName(spin bool) string {
	if spin {
		return "adaptive"
	}
	return "off"
}
