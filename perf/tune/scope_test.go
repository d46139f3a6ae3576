package tune

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
)

// cpuGrid is CPUs of two nodes, each of cores with two siblings: CPU n and n + half
// are siblings, and the first half of the cores is on node 0.
func cpuGrid(cores int) (all []CPU) {
	for n := range 2 * cores {
		all = append(all, CPU{Number: n, Core: n % cores, Node: n % cores / (cores / 2)})
	}
	return all
}

// plainCPUs have neither siblings nor a known node.
func plainCPUs(n int) (all []CPU) {
	for i := range n {
		all = append(all, CPU{Number: i, Core: i, Node: -1})
	}
	return all
}

func numbers(cpus []CPU) (all []int) {
	for _, c := range cpus {
		all = append(all, c.Number)
	}
	return all
}

// onCPUs is a director with workers there, of queues from 0 on.
func onCPUs(topology []CPU, workers ...int) *Facts {
	f := good()
	f.Host.Topology, f.Director.CPUs = topology, numbers(topology)
	f.Interfaces[0].IRQs, f.Director.Workers = nil, nil
	for queue, cpu := range workers {
		f.Director.Workers = append(f.Director.Workers, control.WorkerTuning{Queue: uint32(queue), CPU: cpu})
	}
	return f
}

func withIRQs(f *Facts, cpus ...int) *Facts {
	for queue, cpu := range cpus {
		f.Interfaces[0].IRQs = append(f.Interfaces[0].IRQs, nic.IRQ{Queue: queue, CPUs: []int{cpu}})
	}
	return f
}

func TestCPUPlacements(t *testing.T) {
	onNode := func(f *Facts, node int) *Facts { f.Nodes = map[string]int{"eth0": node}; return f }
	allowed := func(f *Facts, cpus ...int) *Facts { f.Director.CPUs = cpus; return f }
	for _, test := range []struct {
		name  string
		facts *Facts
		terms Terms
		want  []string
	}{
		{"two CPUs, one sends", onCPUs(plainCPUs(2), 1), Terms{Senders: []int{0}}, nil},
		{"one CPU", onCPUs(plainCPUs(1), 0), Terms{}, nil},
		{"two CPUs, both with workers", onCPUs(plainCPUs(2), 1, 0), Terms{}, nil},
		{"two CPUs, one free", onCPUs(plainCPUs(2), 1), Terms{}, []string{"cpus=0"}},
		{"not on the interrupt's CPU", withIRQs(onCPUs(plainCPUs(4), 3), 3), Terms{}, []string{"cpus=2"}},
		{"on the interrupt's CPU", withIRQs(onCPUs(plainCPUs(4), 3), 1), Terms{}, []string{"cpus=1"}},
		// 8 cores, 16 CPUs; CPUs 0 to 3 and 8 to 11 are on node 0.
		{"on the node of the card", onNode(onCPUs(cpuGrid(8), 15), 0), Terms{}, []string{"cpus=11"}},
		{"interrupts on the node", onNode(withIRQs(onCPUs(cpuGrid(8), 15, 14), 0, 1), 0), Terms{},
			[]string{"cpus=11,10", "cpus=0,1", "cpus=8,9"}},
		{"siblings apart", onCPUs(cpuGrid(2), 3, 1), Terms{}, []string{"cpus=3,2"}},
		{"a worker on every CPU", onCPUs(cpuGrid(2), 0, 1, 2, 3), Terms{}, nil},
		{"a worker on every CPU, on another's interrupt", withIRQs(onCPUs(plainCPUs(2), 0, 1), 1, 0), Terms{}, []string{"cpus=1,0"}},
		{"away from the sender, and beside it", onCPUs(cpuGrid(4), 1), Terms{Senders: []int{0}}, []string{"cpus=7", "cpus=4"}},
		{"within what the director may use", allowed(onCPUs(plainCPUs(8), 5), 4, 5), Terms{}, []string{"cpus=4"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, left := findCPUs(Parameter{Name: "cpus"}, test.facts, test.terms)
			if test.want == nil {
				if len(found) != 0 || len(left) != 1 || !strings.Contains(left[0].Reason, "no other place") {
					t.Errorf("found %v, left out %v", found, left)
				}
				return
			}
			var got []string
			for _, v := range found[0].Values {
				got = append(got, strings.Join(v, " "))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestCoalescingOfInterfaces(t *testing.T) {
	adaptive := func(rx uint32, on bool) *nic.Coalescing {
		return &nic.Coalescing{RXMicroseconds: &rx, AdaptiveRX: &on}
	}
	for name, test := range map[string]struct {
		host   *nic.Coalescing
		told   bool
		start  string
		values string // after the one in force
		reason string
	}{
		"none":          {host: nil, reason: `driver "i40e" cannot be told`},
		"frames only":   {host: &nic.Coalescing{RXFrames: ptr(uint32(8))}, reason: "cannot be told"},
		"fixed":         {host: &nic.Coalescing{RXMicroseconds: ptr(uint32(50))}, start: "coalescing.eth0=before", values: "5|20|100"},
		"adaptive":      {host: adaptive(50, true), start: "coalescing.eth0=before", values: "5 off|20 off|50 off|100 off"},
		"adaptive, off": {host: adaptive(7, false), start: "coalescing.eth0=before", values: "5 off|20 off|50 off|100 off|7 on"},
		"told":          {host: adaptive(20, false), told: true, start: "coalescing.eth0=20 off", values: "5 off|50 off|100 off|20 on"},
	} {
		f := good()
		f.Interfaces[0].Coalescing = test.host
		if test.told {
			f.Director.Settings.Coalescing = map[string]nic.Coalescing{"eth0": *test.host}
		}
		space, err := Only(Space(), []string{"coalescing", "spin"})
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewScope(space, f, Terms{})
		if err != nil {
			t.Fatal(err)
		}
		if test.reason != "" {
			if len(s.Space) != 1 || len(s.LeftOut) != 1 || !strings.Contains(s.LeftOut[0].String(), test.reason) {
				t.Errorf("%s: %+v", name, s)
			}
			continue
		}
		p := s.Space[1]
		var values []string
		for i := range p.Values {
			values = append(values, label(p, i))
		}
		got := strings.ReplaceAll(strings.Join(values[1:], "|"), "coalescing.eth0=", "")
		if values[s.Start[1]] != test.start || got != test.values {
			t.Errorf("%s: %s, then %s", name, values[0], got)
		}
		for _, v := range p.Values {
			if _, err := Parse(v); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// A search begins with what is in force, whatever that is.
func TestScope(t *testing.T) {
	f := good()
	f.Director.Rings = control.RingSizes{RX: 128, TX: 512, Fill: 256, Completion: 512, Frames: 1024}
	f.Director.Settings.Batch = ptr(100)
	labels := func(s *Scope) (all []string) {
		for i, p := range s.Space {
			all = append(all, label(p, s.Start[i]))
		}
		return all
	}
	space, err := Only(Space(), []string{"batch", "transmit_budget", "rings", "spin", "busy_poll"})
	if err != nil {
		t.Fatal(err)
	}
	bench, err := NewScope(space, f, Terms{Restart: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"batch=100", "transmit_budget=512", "rings=128 512 256 512 1024", "spin=adaptive", "busy_poll=off"}
	if diff := cmp.Diff(want, labels(bench)); diff != "" || len(bench.LeftOut) != 0 || len(bench.Space[2].Values) != 5 {
		t.Errorf("%v\n%+v", diff, bench)
	}
	live, err := NewScope(space, f, Terms{})
	if err != nil {
		t.Fatal(err)
	}
	want = slices.Delete(want, 2, 3)
	if diff := cmp.Diff(want, labels(live)); diff != "" {
		t.Error(diff)
	}
	var left []string
	for _, l := range live.LeftOut {
		left = append(left, l.String())
	}
	for i, says := range []string{"batch=256: more than the 128 frames", "transmit_budget=2048: more than the 512 frames", "rings: a director takes them at its start"} {
		if i >= len(left) || !strings.HasPrefix(left[i], says) {
			t.Errorf("left out %q, want %q", left, says)
		}
	}
	f.Director.Settings.BusyPoll.Enabled, f.Director.Settings.BusyPoll.Microseconds = ptr(true), ptr(33)
	if s, err := NewScope(space, f, Terms{}); err != nil || !slices.Contains(s.Start.Arguments(s.Space), "busy_poll.microseconds=33") {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := Only(Space(), []string{"batch", "speed"}); err == nil || !strings.Contains(err.Error(), "cpus, batch") {
		t.Errorf("a parameter that is not there: %v", err)
	}
	rings, _ := Only(space, []string{"rings"})
	if _, err := NewScope(rings, f, Terms{}); err == nil || !strings.Contains(err.Error(), "nothing to search here\nrings: a director") {
		t.Errorf("nothing is left: %v", err)
	}
}

// All sizes of rings keep the rules of the file, with the largest batch too.
func TestRingSizesAreValid(t *testing.T) {
	c, err := config.Parse("defaults", []byte("interfaces: [{name: eth0}]"))
	if err != nil {
		t.Fatal(err)
	}
	var defaults bool
	for _, size := range []int{512, 1024, 2048, 4096} {
		p, err := parsePlan(append(ringsOf(size), "batch=256"))
		if err != nil {
			t.Fatal(err)
		}
		other := *c
		p.into(&other)
		if err := other.Check(); err != nil || other.Rings.RX != size {
			t.Errorf("%d: %v", size, err)
		}
		defaults = defaults || sizesOf(&other.Rings) == sizesOf(&c.Rings)
	}
	if !defaults {
		t.Error("the defaults are not among them")
	}
	if _, err := parsePlan([]string{"rings.rx=many"}); err == nil {
		t.Error("a size that is no number")
	}
}

// Coalescing goes back by way of what the interface had.
func TestRestoring(t *testing.T) {
	twenty := nic.Coalescing{RXMicroseconds: ptr(uint32(20))}
	before := control.Settings{Batch: ptr(64), Coalescing: map[string]nic.Coalescing{"eth0": twenty, "eth2": twenty}}
	got := restoring(before, &control.Settings{Coalescing: map[string]nic.Coalescing{"eth0": {}, "eth1": twenty}})
	want := []*control.Settings{
		{Coalescing: map[string]nic.Coalescing{"eth0": {}, "eth1": {}}},
		{Batch: ptr(64), Coalescing: map[string]nic.Coalescing{"eth0": twenty, "eth1": {}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, tried := range []*control.Settings{nil, {Batch: ptr(1)}} {
		if got := restoring(before, tried); len(got) != 1 || got[0].Coalescing != nil || *got[0].Batch != 64 {
			t.Errorf("%+v", got)
		}
	}
}

// strict is a model that holds plans against the rules of the file, as a bench does.
type strict struct{ *model }

func (s strict) Apply(ctx context.Context, arguments []string) error {
	p, err := parsePlan(arguments)
	if err != nil {
		return err
	}
	c, err := config.Parse("defaults", []byte("interfaces: [{name: eth0}]"))
	if err != nil {
		return err
	}
	p.into(c)
	if err := c.Check(); err != nil {
		return Refused{err}
	}
	return s.model.Apply(ctx, arguments)
}

// A search finds rings, CPUs and coalescing as well, and what it writes is good in
// a file and has them.
func TestSearchWhole(t *testing.T) {
	f := withIRQs(onCPUs(cpuGrid(4), 3, 7), 0, 1)
	space, err := NewScope(Space(), f, Terms{Restart: true})
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(4, 0.01, func(p *plan) float64 {
		score := 1 - 0.05*math.Log2(float64(value(p.rx))/512) // the smallest rings
		score += 0.02 * math.Log2(float64(value(p.TransmitBudget)))
		if slices.Equal(value(p.CPUs), []int{4, 5}) { // beside the interrupts
			score += 0.2
		}
		return score + 0.001*float64(value(p.Coalescing["eth0"].RXMicroseconds))
	})
	o, err := Search(t.Context(), strict{m}, space.Space, space.Start, Options{Seed: 4})
	if err != nil || !o.Confirmed {
		t.Fatalf("%v, %+v", err, o)
	}
	refused := false
	for _, r := range o.Races {
		for _, c := range r.Candidates {
			refused = refused || r.Parameter == "rings" && strings.Contains(c.Refused, "transmit_budget 2048 is more than")
		}
	}
	if !refused {
		t.Error("a large budget in small rings was not refused")
	}
	e := &Evidence{When: time.Unix(1_800_000_000, 0), Where: "8 CPUs", Load: "a formula", LeftOut: []LeftOut{{"sails", "no wind"}}, Outcome: o}
	base, err := config.Parse("base", []byte("interfaces: [{name: eth0}]\nlog: {level: warn}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, base := range map[string]*config.Config{"whole": base, "part": nil} {
		data, err := e.Configuration(base)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, want := range []string{"#   ethtool -C eth0 adaptive-rx off rx-usecs 100\n", "#   sails: no wind\n", "cpus=4,5", "rings=2048 2048 4096 2048 8192"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing:\n%s", name, want, text)
			}
		}
		if base == nil {
			text += "interfaces: [{name: eth0}]\n"
		}
		c, err := config.Parse("written", []byte(text))
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		winner, _ := parsePlan(o.Winner)
		if !slices.Equal(c.Workers.CPUs, []int{4, 5}) || c.Rings.RX != *winner.rx || c.Rings.Fill != *winner.fill || c.Rings.Frames != *winner.frames {
			t.Errorf("%s: not what won, %v:\n%s", name, o.Winner, text)
		}
	}
}

// CPUs that did not change stay as the file has them: a bench's are its own.
func TestCPUsOfABenchStayThere(t *testing.T) {
	e := &Evidence{Outcome: &Outcome{Start: []string{"cpus=1", "batch=64"}, Winner: []string{"cpus=1", "batch=128"}}}
	base, err := config.Parse("base", []byte("interfaces: [{name: eth0}]\nworkers: {cpus: [6]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := e.Configuration(base)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("written", data)
	if err != nil || c.Rings.Batch != 128 || !slices.Equal(c.Workers.CPUs, []int{6}) {
		t.Errorf("%v\n%s", err, data)
	}
}
