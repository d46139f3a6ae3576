package tune

import (
	"errors"
	"fmt"
	"slices"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
)

// Terms are what a search may do with a director.
type Terms struct {
	Restart bool // it may be stopped, and started with other rings
	// Senders are CPUs that send to its queues, from queue 0 on, and have no time for
	// a worker. None: frames come with the interfaces' interrupts.
	Senders []int
}

// Scope is what a search tries at a director, and where it begins.
type Scope struct {
	Space   []Parameter
	Start   Choice // what is in force
	LeftOut []LeftOut
}

// LeftOut is what a search does not try, and why.
type LeftOut struct {
	Name   string `json:"name"` // a parameter, or a value of one
	Reason string `json:"reason"`
}

// String is the name and the reason.
func (l LeftOut) String() string { return l.Name + ": " + l.Reason }

// NewScope fits a space to a director. What is in force comes into it where it is
// not there; what cannot be had, or leaves nothing to choose from, goes.
func NewScope(space []Parameter, f *Facts, t Terms) (*Scope, error) {
	s := &Scope{}
	var fixed *control.RingSizes // that values must fit into; nil if they may change too
	if !t.Restart || !slices.Contains(parameterNames(space), "rings") {
		fixed = &f.Director.Rings
	}
	for _, known := range space {
		found := []Parameter{known}
		if known.find != nil {
			var left []LeftOut
			found, left = known.find(known, f, t)
			s.LeftOut = append(s.LeftOut, left...)
		}
		for _, p := range found {
			if err := s.add(p, f, fixed); err != nil {
				return nil, err
			}
		}
	}
	if len(s.Space) == 0 {
		errs := []error{errors.New("nothing to search here")}
		for _, l := range s.LeftOut {
			errs = append(errs, errors.New(l.String()))
		}
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// add takes a parameter in, beginning with its value in force.
func (s *Scope) add(p Parameter, f *Facts, fixed *control.RingSizes) error {
	now := p.inForce(f)
	var values [][]string
	for i, v := range p.Values {
		reason, err := unfit(v, fixed)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		if reason == "" {
			values = append(values, v)
		} else {
			s.LeftOut = append(s.LeftOut, LeftOut{label(p, i), reason})
		}
	}
	at := slices.IndexFunc(values, func(v []string) bool { return slices.Equal(v, now) })
	if at < 0 {
		values, at = append([][]string{now}, values...), 0
	}
	if p.Values = values; len(values) == 1 {
		s.LeftOut = append(s.LeftOut, LeftOut{p.Name, "no value but the one in force, " + label(p, 0)})
		return nil
	}
	s.Space, s.Start = append(s.Space, p), append(s.Start, at)
	return nil
}

// unfit is why rings that cannot change are too small for a value.
func unfit(arguments []string, fixed *control.RingSizes) (reason string, err error) {
	p, err := parsePlan(arguments)
	switch {
	case err != nil || fixed == nil:
		return "", err
	case value(p.Batch) > min(fixed.RX, fixed.TX):
		return fmt.Sprintf("more than the %d frames that a ring holds", min(fixed.RX, fixed.TX)), nil
	case value(p.TransmitBudget) > fixed.TX:
		return fmt.Sprintf("more than the %d frames that the TX ring holds", fixed.TX), nil
	}
	return "", nil
}

func findRings(p Parameter, _ *Facts, t Terms) ([]Parameter, []LeftOut) {
	if !t.Restart {
		return nil, []LeftOut{{p.Name, "a director takes them at its start, and a search under live traffic does not restart it"}}
	}
	return []Parameter{p}, nil
}

// findCoalescing makes a parameter for each interface that can be told when to
// interrupt.
func findCoalescing(p Parameter, f *Facts, _ Terms) (found []Parameter, left []LeftOut) {
	for i := range f.Director.Interfaces {
		name := f.Director.Interfaces[i].Name
		one := p
		one.Name = "coalescing." + name
		host := f.host(name)
		switch {
		case host == nil:
			left = append(left, LeftOut{one.Name, "there is no such interface at the moment"})
		case host.Coalescing == nil || host.Coalescing.RXMicroseconds == nil:
			left = append(left, LeftOut{one.Name, fmt.Sprintf("driver %q cannot be told when to interrupt", driver(host))})
		default:
			one.Values = coalescingValues(one.Name, host.Coalescing)
			one.inForce = func(f *Facts) []string { return coalescingInForce(one.Name, name, f) }
			found = append(found, one)
		}
	}
	return found, left
}

// coalescingValues are values beside the one in force. All of them set the same
// fields, so that none is what a former one has left.
func coalescingValues(name string, now *nic.Coalescing) (values [][]string) {
	for _, microseconds := range []uint32{5, 20, 50, 100} {
		if value(now.AdaptiveRX) || microseconds != *now.RXMicroseconds {
			values = append(values, coalescingValue(name, microseconds, ptrIf(now.AdaptiveRX != nil, false)))
		}
	}
	if now.AdaptiveRX != nil && !*now.AdaptiveRX {
		values = append(values, coalescingValue(name, *now.RXMicroseconds, ptr(true)))
	}
	return values
}

func coalescingValue(name string, microseconds uint32, adaptive *bool) []string {
	v := []string{fmt.Sprintf("%s.rx_usecs=%d", name, microseconds)}
	if adaptive != nil {
		v = append(v, fmt.Sprintf("%s.adaptive_rx=%s", name, onOff(*adaptive)))
	}
	return v
}

// coalescingInForce is as it was before the director changed anything, or what it
// was told since.
func coalescingInForce(parameter, name string, f *Facts) []string {
	now := f.host(name).Coalescing
	if _, told := f.Director.Settings.Coalescing[name]; told {
		return coalescingValue(parameter, *now.RXMicroseconds, now.AdaptiveRX)
	}
	return []string{parameter + "=before"}
}

func ptrIf[T any](have bool, v T) *T {
	if !have {
		return nil
	}
	return &v
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
