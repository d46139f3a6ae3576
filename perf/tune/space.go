package tune

import (
	"fmt"
	"slices"
	"strings"
)

// Parameter is one dimension of a search: values that exclude each other, each
// of them settings as [Parse] takes them.
type Parameter struct {
	Name   string
	Why    string // what it trades
	Values [][]string
}

// Space is the parameters that a search tries, in this order: those first that
// matter most as a rule. Each may change while frames flow. Sizes of rings are
// not among them: they bound bursts, and matter little to a rate.
func Space() []Parameter {
	busy := func(microseconds, budget, defers, timeout int) []string {
		return []string{
			"busy_poll=on", fmt.Sprintf("busy_poll.microseconds=%d", microseconds), fmt.Sprintf("busy_poll.budget=%d", budget),
			fmt.Sprintf("busy_poll.defer_hard_irqs=%d", defers), fmt.Sprintf("busy_poll.gro_flush_timeout=%d", timeout),
		}
	}
	return []Parameter{
		{"batch", "cost of a system call a frame, against what the processor's caches hold", each("batch", "16", "32", "64", "128", "256")},
		{"transmit_budget", "system calls, against how long one takes (copy mode)", each("transmit_budget", "32", "128", "512", "2048")},
		{"spin", "wake-ups, against processor time while the load is light", each("spin", "adaptive", "off")},
		{"busy_poll", "interrupts, against polls that find nothing", [][]string{
			{"busy_poll=off"}, busy(20, 64, 2, 200_000), busy(50, 64, 2, 200_000), busy(50, 256, 10, 1_000_000),
		}},
	}
}

func each(key string, values ...string) [][]string {
	var all [][]string
	for _, v := range values {
		all = append(all, []string{key + "=" + v})
	}
	return all
}

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

// Arguments is a choice as xlvs tune set takes it.
func (c Choice) Arguments(space []Parameter) []string {
	var all []string
	for i, value := range c {
		all = append(all, space[i].Values[value]...)
	}
	return all
}

// label is a value of a parameter in short: "busy_poll=on 20 64 2 200000".
func label(p Parameter, value int) string {
	words := slices.Clone(p.Values[value])
	for i := 1; i < len(words); i++ {
		_, words[i], _ = strings.Cut(words[i], "=")
	}
	return strings.Join(words, " ")
}
