package tune

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/xlvs/xlvs/control"
)

// findCPUs makes lists of CPUs for the workers the values of the parameter.
func findCPUs(p Parameter, f *Facts, t Terms) ([]Parameter, []LeftOut) {
	m := newMachine(f, t)
	var now []int
	for _, w := range m.workers {
		now = append(now, w.CPU)
	}
	add := func(cpus []int) {
		v := []string{cpusValue(cpus)}
		if cpus != nil && !slices.Equal(cpus, now) && !slices.ContainsFunc(p.Values, func(o []string) bool { return slices.Equal(o, v) }) {
			p.Values = append(p.Values, v)
		}
	}
	if cpus := m.apart(nil); !sameSet(cpus, now) { // workers that change places are no other place
		add(cpus)
	}
	add(m.withArrivals())
	add(m.besideArrivals())
	if len(p.Values) == 0 { // nothing is known that speaks for a place: any other
		add(m.apart(now))
	}
	if len(p.Values) > 0 {
		return []Parameter{p}, nil
	}
	reason := fmt.Sprintf("the director may use CPUs %v", f.Director.CPUs)
	if len(t.Senders) > 0 {
		reason += fmt.Sprintf(", the generator needs %v", t.Senders)
	}
	return nil, []LeftOut{{p.Name, reason + fmt.Sprintf(" and the workers have %v: there is no other place worth a try", now)}}
}

func sameSet(a, b []int) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// machine is CPUs that workers may be put on, and where their frames arrive.
type machine struct {
	workers  []control.WorkerTuning
	free     []CPU       // that may have a worker
	arrivals map[int]CPU // by queue, as far as they are known
	node     int         // of the interfaces; -1 if they differ, or it is not known
}

func newMachine(f *Facts, t Terms) *machine {
	m := &machine{workers: f.Director.Workers, arrivals: map[int]CPU{}, node: f.node()}
	for _, c := range f.Host.Topology {
		if slices.Contains(f.Director.CPUs, c.Number) && !slices.Contains(t.Senders, c.Number) {
			m.free = append(m.free, c)
		}
	}
	for queue, number := range f.arrivals(t) {
		if i := slices.IndexFunc(f.Host.Topology, func(c CPU) bool { return c.Number == number }); i >= 0 {
			m.arrivals[queue] = f.Host.Topology[i]
		}
	}
	return m
}

// arrivals is the CPUs on which the kernel receives, by queue: those of the senders
// at the other end of a veth, or those that serve the interrupt alone.
func (f *Facts) arrivals(t Terms) map[int]int {
	at := map[int]int{}
	for queue, cpu := range t.Senders {
		at[queue] = cpu
	}
	for _, i := range f.Interfaces {
		for _, irq := range i.IRQs {
			if irq.Queue >= 0 && len(irq.CPUs) == 1 {
				at[irq.Queue] = irq.CPUs[0]
			}
		}
	}
	return at
}

// node is the NUMA node that all interfaces are on, or -1.
func (f *Facts) node() int {
	node := -1
	for i, used := range f.Director.Interfaces {
		n, ok := f.Nodes[used.Name]
		if !ok || i > 0 && n != node {
			return -1
		}
		node = n
	}
	return node
}

// apart gives each worker a CPU on the interfaces' node, on a core that no other
// worker has and no frames arrive on, as far as there are such, the last first: the
// first have the most other work as a rule. CPUs in without are left alone. It is
// nil if there are too few.
func (m *machine) apart(without []int) []int {
	order := slices.DeleteFunc(slices.Clone(m.free), func(c CPU) bool { return slices.Contains(without, c.Number) })
	cost := func(c CPU) (n int) {
		if m.node >= 0 && c.Node != m.node {
			n += 2 // every frame crosses over
		}
		for _, a := range m.arrivals {
			if a.Core == c.Core {
				return n + 1
			}
		}
		return n
	}
	slices.SortFunc(order, func(a, b CPU) int {
		return cmp.Or(cmp.Compare(cost(a), cost(b)), cmp.Compare(b.Number, a.Number))
	})
	var first, second []int // the only worker of their core, and others
	cores := map[int]bool{}
	for _, c := range order {
		if cores[c.Core] {
			second = append(second, c.Number)
		} else {
			first = append(first, c.Number)
		}
		cores[c.Core] = true
	}
	all := append(first, second...)
	if len(all) < len(m.workers) {
		return nil
	}
	return all[:len(m.workers)]
}

// withArrivals gives each worker the CPU that its frames arrive on: their data is
// in its caches.
func (m *machine) withArrivals() []int {
	return m.matched(func(worker, arrival CPU) bool { return worker.Number == arrival.Number })
}

// besideArrivals gives each worker an SMT sibling of that CPU.
func (m *machine) besideArrivals() []int {
	return m.matched(func(worker, arrival CPU) bool {
		return worker.Core == arrival.Core && worker.Number != arrival.Number
	})
}

// matched gives each worker a free CPU that goes with where its frames arrive; nil
// if one has none.
func (m *machine) matched(fits func(worker, arrival CPU) bool) (cpus []int) {
	for _, w := range m.workers {
		arrival, known := m.arrivals[int(w.Queue)]
		i := slices.IndexFunc(m.free, func(c CPU) bool { return fits(c, arrival) && !slices.Contains(cpus, c.Number) })
		if !known || i < 0 {
			return nil
		}
		cpus = append(cpus, m.free[i].Number)
	}
	return cpus
}
