package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/xlvs/xlvs/service"
)

// Change is one difference between two configurations, for people.
type Change struct {
	// Subject is a key of the file (rings.fill) or what it is about (service
	// fwmark 80, interface eth0, mark 80).
	Subject string
	// Text says what changed: "server 10.0.0.13 added, weight 2".
	Text string
	// Restart tells that a running director cannot take the change over.
	Restart bool
}

// String is the change on one line.
func (c Change) String() string { return c.Subject + ": " + c.Text }

// Diff is what is different in the new configuration, host first, then mark
// rules and services in the new file's order.
func Diff(old, new *Config) []Change {
	var d differ
	d.interfaces(old.Interfaces, new.Interfaces)
	d.host(old.hostSettings(), new.hostSettings())
	d.marks(old.Marks, new.Marks)
	d.services(old.Services, new.Services)
	return d.changes
}

// RestartNeeded names what is different in the new configuration and cannot be
// changed while the director runs: the interfaces, the sizes of rings and
// tables, and where things are. It is empty if a reload can do it all.
func RestartNeeded(old, new *Config) []string {
	var subjects []string
	for _, c := range Diff(old, new) {
		if c.Restart && !slices.Contains(subjects, c.Subject) {
			subjects = append(subjects, c.Subject)
		}
	}
	return subjects
}

// needsRestart reports whether a key is read at the start only.
func needsRestart(key string) bool {
	switch key {
	case "rings.batch", "rings.transmit_budget", "rings.busy_poll":
		return false
	}
	switch section, _, _ := strings.Cut(key, "."); section {
	case "rings", "tables", "control":
		return true
	}
	return key == "steering.pin" || key == "log.format"
}

type differ struct{ changes []Change }

func (d *differ) add(restart bool, subject, format string, args ...any) {
	d.changes = append(d.changes, Change{subject, fmt.Sprintf(format, args...), restart})
}

func (d *differ) interfaces(old, new []Interface) {
	before := map[string]Interface{}
	for _, i := range old {
		before[i.Name] = i
	}
	for _, i := range new {
		was, ok := before[i.Name]
		if !ok {
			d.add(true, "interface "+i.Name, "added, %s", i.settings())
			continue
		}
		if i.settings() != was.settings() {
			d.add(true, "interface "+i.Name, "now %s; was %s", i.settings(), was.settings())
		}
		if i.macs() != was.macs() {
			d.add(false, "interface "+i.Name, "macs now %s; was %s", i.macs(), was.macs())
		}
		delete(before, i.Name)
	}
	for _, i := range old {
		if _, ok := before[i.Name]; ok {
			d.add(true, "interface "+i.Name, "removed")
		}
	}
}

func (d *differ) host(old, new []setting) {
	d.settings("", old, new)
}

// settings compares keys and values. Without a subject each key is its own.
func (d *differ) settings(subject string, old, new []setting) {
	before := map[string]string{}
	for _, s := range old {
		before[s.key] = s.value
	}
	for _, s := range new {
		was, ok := before[s.key]
		delete(before, s.key)
		if ok && was == s.value {
			continue
		}
		if !ok {
			was = "not set"
		}
		d.setting(subject, s.key, s.value, was)
	}
	for _, s := range old {
		if was, ok := before[s.key]; ok {
			d.setting(subject, s.key, "not set", was)
		}
	}
}

func (d *differ) setting(subject, key, now, was string) {
	if subject == "" {
		d.add(needsRestart(key), key, "now %s; was %s", now, was)
		return
	}
	d.add(false, subject, "%s now %s; was %s", key, now, was)
}

// marks tells which marks have other rules. The order of two rules matters
// only between marks, so it is told for all of them together.
func (d *differ) marks(old, new []MarkRule) {
	before, orderBefore := rulesByMark(old)
	after, orderAfter := rulesByMark(new)
	changed := false
	for _, mark := range orderAfter {
		was, ok := before[mark]
		switch now := after[mark]; {
		case !ok:
			d.add(false, markName(mark), "added, %d %s", len(now), plural(len(now), "match", "matches"))
		case !slices.Equal(was, now):
			d.add(false, markName(mark), "matches changed, %d now", len(now))
		default:
			continue
		}
		changed = true
	}
	for _, mark := range orderBefore {
		if _, ok := after[mark]; !ok {
			d.add(false, markName(mark), "removed")
			changed = true
		}
	}
	if !changed && !slices.EqualFunc(old, new, sameMark) {
		d.add(false, "marks", "the rules' order changed")
	}
}

func sameMark(a, b MarkRule) bool {
	return a.Mark == b.Mark && slices.EqualFunc(a.Matches, b.Matches, func(m, n Match) bool { return m.String() == n.String() })
}

// rulesByMark is the matches of each mark as text, and the marks by their first rule.
func rulesByMark(rules []MarkRule) (by map[uint32][]string, order []uint32) {
	by = map[uint32][]string{}
	for _, rule := range rules {
		if _, ok := by[rule.Mark]; !ok {
			order = append(order, rule.Mark)
		}
		for _, m := range rule.Matches {
			by[rule.Mark] = append(by[rule.Mark], m.String())
		}
	}
	return by, order
}

func markName(mark uint32) string { return fmt.Sprintf("mark %d", mark) }

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func (d *differ) services(old, new []Service) {
	before := map[service.Key]*Service{}
	for i := range old {
		before[old[i].Key] = &old[i]
	}
	for i := range new {
		now := &new[i]
		subject := "service " + keyName(now.Key)
		if was, ok := before[now.Key]; ok {
			d.settings(subject, was.settingsAndName(), now.settingsAndName())
			d.servers(subject, was.Servers, now.Servers)
		} else {
			d.add(false, subject, "added, scheduler %s, %d %s", now.Scheduler.Name,
				len(now.Servers), plural(len(now.Servers), "server", "servers"))
		}
		delete(before, now.Key)
	}
	for i := range old {
		if _, ok := before[old[i].Key]; ok {
			d.add(false, "service "+keyName(old[i].Key), "removed")
		}
	}
}

func (s *Service) settingsAndName() []setting {
	if s.Name == "" {
		return s.settings()
	}
	return append(s.settings(), setting{"name", s.Name})
}

func (d *differ) servers(subject string, old, new []Server) {
	before := map[netip.Addr]Server{}
	for _, r := range old {
		before[r.Addr] = r
	}
	for _, r := range new {
		was, ok := before[r.Addr]
		if ok {
			d.settings(subject+": server "+r.Addr.String(), was.settings(), r.settings())
		} else {
			d.add(false, subject, "server %s added, weight %d", r.Addr, r.Weight)
		}
		delete(before, r.Addr)
	}
	for _, r := range old {
		if _, ok := before[r.Addr]; ok {
			d.add(false, subject, "server %s removed", r.Addr)
		}
	}
	if !slices.Equal(common(old, new), common(new, old)) {
		d.add(false, subject, "the servers' order changed")
	}
}

// common is the addresses of the servers that are among the others too.
func common(servers, others []Server) []netip.Addr {
	known := map[netip.Addr]bool{}
	for _, r := range others {
		known[r.Addr] = true
	}
	var all []netip.Addr
	for _, r := range servers {
		if known[r.Addr] {
			all = append(all, r.Addr)
		}
	}
	return all
}

// settings is what is said of a server, beside its address.
func (r Server) settings() []setting {
	return []setting{
		{"weight", fmt.Sprint(r.Weight)},
		{"upper_threshold", fmt.Sprint(r.UpperThreshold)},
		{"lower_threshold", fmt.Sprint(r.LowerThreshold)},
	}
}
