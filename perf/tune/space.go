package tune

import (
	"fmt"
	"slices"
	"strings"

	"github.com/xlvs/xlvs/control"
)

// Parameter is one dimension of a search: values that exclude each other, each
// of them settings as [Parse] takes them, or sizes of rings.
type Parameter struct {
	Name   string
	Why    string     // what it trades
	Values [][]string // none where they depend on the machine, until NewScope has found them

	tries   string                // the values in words, where that is shorter or they depend on the machine
	inForce func(*Facts) []string // as a value
	// find is what becomes of the parameter at a director; nil is itself.
	find func(Parameter, *Facts, Terms) ([]Parameter, []LeftOut)
}

// Space is the parameters that a search knows, in the order that it tries them:
// those first that matter most as a rule. [NewScope] fits it to a director.
func Space() []Parameter {
	busy := func(microseconds, budget, defers, timeout int) []string {
		return busyPollValue(&control.BusyPollSettings{Enabled: ptr(true),
			Microseconds: &microseconds, Budget: &budget, DeferHardIRQs: &defers, GROFlushTimeout: &timeout})
	}
	return []Parameter{
		{Name: "cpus", Why: "caches that a worker shares with who brings its frames, against time that they take from it",
			tries: "CPUs on the interface's NUMA node, apart from interrupts and each other; those of the interrupts; their SMT siblings",
			inForce: func(f *Facts) []string {
				return []string{cpusValue(value(f.Director.Settings.CPUs))}
			},
			find: findCPUs},
		{Name: "batch", Why: "cost of a system call a frame, against what the processor's caches hold",
			Values: each("batch", 16, 32, 64, 128, 256),
			inForce: func(f *Facts) []string {
				return []string{fmt.Sprintf("batch=%d", value(f.Director.Settings.Batch))}
			}},
		{Name: "transmit_budget", Why: "system calls, against how long one takes (copy mode)",
			Values: each("transmit_budget", 32, 128, 512, 2048),
			inForce: func(f *Facts) []string {
				return []string{fmt.Sprintf("transmit_budget=%d", value(f.Director.Settings.TransmitBudget))}
			}},
		{Name: "rings", Why: "the bursts that they bound, against caches that the frames in them fill (restarts the director)",
			Values:  [][]string{ringsOf(512), ringsOf(1024), ringsOf(2048), ringsOf(4096)},
			tries:   "rx, tx and completion of 512; 1024; 2048; 4096, with a fill ring of twice and frames of four times that",
			inForce: func(f *Facts) []string { return ringsValue(&f.Director.Rings) },
			find:    findRings},
		{Name: "spin", Why: "wake-ups, against processor time while the load is light",
			Values: each("spin", "adaptive", "off"),
			inForce: func(f *Facts) []string {
				return []string{"spin=" + spinName(value(f.Director.Settings.Spin))}
			}},
		{Name: "busy_poll", Why: "interrupts, against polls that find nothing",
			Values: [][]string{
				{"busy_poll=off"}, busy(20, 64, 2, 200_000), busy(50, 64, 2, 200_000), busy(50, 256, 10, 1_000_000),
			},
			inForce: func(f *Facts) []string { return busyPollValue(f.Director.Settings.BusyPoll) }},
		{Name: "coalescing", Why: "interrupts, against the time that a frame waits for one",
			tries: "for each interface whose driver has it: rx_usecs=5, 20, 50, 100 with adaptive_rx=off; adaptive_rx=on",
			find:  findCoalescing},
	}
}

// Tries is the values in words.
func (p *Parameter) Tries() string {
	if p.tries != "" {
		return p.tries
	}
	var all []string
	for _, v := range p.Values {
		all = append(all, strings.Join(v, " "))
	}
	return strings.Join(all, "; ")
}

func each[T any](key string, values ...T) [][]string {
	var all [][]string
	for _, v := range values {
		all = append(all, []string{fmt.Sprintf("%s=%v", key, v)})
	}
	return all
}

// ringsOf is rings of a size with what goes with it, in the proportions of the
// defaults: a fill ring of twice that, and frames for all of them and the largest
// batch. The size of a frame is not part of it: the MTU decides that.
func ringsOf(size int) []string {
	return ringsValue(&control.RingSizes{RX: size, TX: size, Fill: 2 * size, Completion: size, Frames: 4 * size})
}

func ringsValue(r *control.RingSizes) []string {
	return []string{
		fmt.Sprintf("rings.rx=%d", r.RX), fmt.Sprintf("rings.tx=%d", r.TX), fmt.Sprintf("rings.fill=%d", r.Fill),
		fmt.Sprintf("rings.completion=%d", r.Completion), fmt.Sprintf("rings.frames=%d", r.Frames),
	}
}

func busyPollValue(b *control.BusyPollSettings) []string {
	if b == nil || !value(b.Enabled) {
		return []string{"busy_poll=off"} // whatever the rest says
	}
	return []string{
		"busy_poll=on", fmt.Sprintf("busy_poll.microseconds=%d", value(b.Microseconds)), fmt.Sprintf("busy_poll.budget=%d", value(b.Budget)),
		fmt.Sprintf("busy_poll.defer_hard_irqs=%d", value(b.DeferHardIRQs)), fmt.Sprintf("busy_poll.gro_flush_timeout=%d", value(b.GROFlushTimeout)),
	}
}

func cpusValue(cpus []int) string {
	if len(cpus) == 0 {
		return "cpus=auto"
	}
	return "cpus=" + strings.Trim(strings.ReplaceAll(fmt.Sprint(cpus), " ", ","), "[]")
}

func ptr[T any](v T) *T { return &v }

// Only is the parameters with these names, in the space's order.
func Only(space []Parameter, names []string) ([]Parameter, error) {
	var some []Parameter
	for _, p := range space {
		if slices.Contains(names, p.Name) {
			some = append(some, p)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(space, func(p Parameter) bool { return p.Name == name }) {
			return nil, fmt.Errorf("no parameter %q: there are %s", name, strings.Join(parameterNames(space), ", "))
		}
	}
	return some, nil
}

func parameterNames(space []Parameter) []string {
	var names []string
	for _, p := range space {
		names = append(names, p.Name)
	}
	return names
}

// Choice is a value of each parameter of a space, by its number.
type Choice []int

// key tells choices apart.
func (c Choice) key() string { return fmt.Sprint([]int(c)) }

// with is the choice with another value of one parameter.
func (c Choice) with(parameter, value int) Choice {
	c = slices.Clone(c)
	c[parameter] = value
	return c
}

// Arguments is a choice as an [Objective] takes it.
func (c Choice) Arguments(space []Parameter) []string {
	var all []string
	for i, value := range c {
		all = append(all, space[i].Values[value]...)
	}
	return all
}

// label is a value of a parameter in short: "busy_poll=on 20 64 2 200000".
func label(p Parameter, value int) string {
	var words []string
	for _, argument := range p.Values[value] {
		_, word, _ := strings.Cut(argument, "=")
		words = append(words, word)
	}
	return p.Name + "=" + strings.Join(words, " ")
}
