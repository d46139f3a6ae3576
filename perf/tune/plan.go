package tune

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/control"
)

// plan is what a search tries: settings that change while frames flow, and sizes
// of rings, which a director takes at its start. What is nil stays as it is.
type plan struct {
	control.Settings
	rx, tx, fill, completion, frames *int
}

// parsePlan reads settings as [Parse] does, and the sizes of rings that Parse
// refuses.
func parsePlan(arguments []string) (*plan, error) {
	p := &plan{}
	sizes := map[string]**int{
		"rings.rx": &p.rx, "rings.tx": &p.tx, "rings.fill": &p.fill, "rings.completion": &p.completion, "rings.frames": &p.frames,
	}
	var settings []string
	for _, a := range arguments {
		key, text, _ := strings.Cut(a, "=")
		size, ok := sizes[key]
		if !ok {
			settings = append(settings, a)
		} else if err := number(size, text); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	if len(settings) > 0 {
		s, err := Parse(settings)
		if err != nil {
			return nil, err
		}
		p.Settings = *s
	}
	return p, nil
}

// into makes a plan part of a configuration. Coalescing has no place there.
func (p *plan) into(c *config.Config) {
	r := &c.Rings
	set(&r.RX, p.rx)
	set(&r.TX, p.tx)
	set(&r.Fill, p.fill)
	set(&r.Completion, p.completion)
	set(&r.Frames, p.frames)
	set(&r.Batch, p.Batch)
	set(&r.TransmitBudget, p.TransmitBudget)
	set(&c.Workers.Spin, p.Spin)
	set(&c.Workers.CPUs, p.CPUs)
	if busy := p.BusyPoll; busy != nil {
		set(&r.BusyPoll.Enabled, busy.Enabled)
		set(&r.BusyPoll.Microseconds, busy.Microseconds)
		set(&r.BusyPoll.Budget, busy.Budget)
		set(&r.BusyPoll.DeferHardIRQs, busy.DeferHardIRQs)
		set(&r.BusyPoll.GROFlushTimeout, busy.GROFlushTimeout)
	}
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// ethtool is the commands that make coalescing what a plan says. The file has no
// key for it.
func (p *plan) ethtool() (commands []string) {
	for _, name := range slices.Sorted(maps.Keys(p.Coalescing)) {
		c := p.Coalescing[name]
		if words := coalescingWords(&c); len(words) > 0 {
			commands = append(commands, fmt.Sprintf("ethtool -C %s %s", name, strings.Join(words, " ")))
		}
	}
	return commands
}
