package tune

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
	"github.com/xlvs/xlvs/perf/measure"
)

// good is a director about which there is nothing to say: two queues in zero copy
// on a card of four CPUs.
func good() *Facts {
	return &Facts{
		Host: Host{CPUs: []int{0, 1, 2, 3}},
		Director: control.Tuning{
			Settings: control.Settings{
				Batch: ptr(64), TransmitBudget: ptr(512), Spin: ptr(true),
				BusyPoll: &control.BusyPollSettings{Enabled: ptr(false), Microseconds: ptr(20), Budget: ptr(64), DeferHardIRQs: ptr(2), GROFlushTimeout: ptr(200_000)},
			},
			Rings: control.RingSizes{Frames: 8192, FrameSize: 2048, RX: 2048, TX: 2048, Fill: 4096, Completion: 2048}, GOMAXPROCS: 4,
			Workers: []control.WorkerTuning{{Queue: 0, CPU: 2}, {Queue: 1, CPU: 3}},
			Interfaces: []control.InterfaceTuning{{
				Name: "eth0", Asked: "auto", Modes: []string{"zerocopy", "zerocopy"}, Attached: "native", Queues: []int{0, 1}, MaxMTU: 1770,
				Verdict: "zerocopy: driver i40e is sound with zero copy from kernel 5.19 on",
				Express: control.Lane{Open: true, Why: "configured"},
			}},
		},
		Interfaces: []nic.Interface{{
			Name: "eth0", MTU: 1500, Up: true, Driver: &nic.Driver{Name: "i40e"},
			Rings: &nic.Rings{RX: 1024, TX: 1024, RXMax: 4096, TXMax: 4096}, Channels: &nic.Channels{Combined: 2, CombinedMax: 8},
			Coalescing: &nic.Coalescing{RXMicroseconds: ptr(uint32(50)), AdaptiveRX: ptr(true)},
			RSS: &nic.RSS{Function: "toeplitz", Queues: []uint32{0, 1}, Entries: 128, Fields: map[string][]string{
				"tcp4": {"source", "destination", "source port", "destination port"},
			}},
			Features: map[string]bool{"rx-gro": true, "rx-vlan-hw-parse": true}, Timers: &nic.Timers{},
			NAPIs: []nic.NAPI{{ID: 11, Queues: []uint32{0}, IRQ: 60, Timers: &nic.Timers{}}, {ID: 12, Queues: []uint32{1}, IRQ: 61, Timers: &nic.Timers{}}},
			IRQs:  []nic.IRQ{{Number: 60, Name: "i40e-eth0-TxRx-0", Queue: 0, CPUs: []int{2}}, {Number: 61, Name: "i40e-eth0-TxRx-1", Queue: 1, CPUs: []int{3}}},
		}},
	}
}

// Where fragments are expected, hashing UDP by addresses alone is right.
func TestNoPortsForFragments(t *testing.T) {
	f := good()
	f.Director.Fragments = []string{"udp4", "udp6"}
	for i := range f.Interfaces {
		for _, kind := range f.Director.Fragments {
			f.Interfaces[i].RSS.Fields[kind] = []string{"source", "destination"}
		}
	}
	for _, a := range Advise(f) {
		t.Errorf("%+v", a)
	}
}

func TestNothingToSay(t *testing.T) {
	for _, a := range Advise(good()) {
		t.Errorf("%+v", a)
	}
}

// Each case spoils one thing; the rule that is for it speaks, and no other.
var spoiled = []struct {
	name, rule string
	severity   Severity
	spoil      func(*Facts, *control.InterfaceTuning, *nic.Interface)
	says, does string
}{
	{"socket down", "missing-socket", Warning, func(_ *Facts, d *control.InterfaceTuning, _ *nic.Interface) {
		d.Modes[1], d.Error = "down", "queue taken"
	}, "queue 1 has no socket", "log"},
	{"no lane", "express-lane", Note, func(_ *Facts, d *control.InterfaceTuning, i *nic.Interface) {
		d.Modes, d.Verdict, d.Express = []string{"copy", "copy"}, "copy: no zero copy", control.Lane{Why: "nobody knows"}
	}, "known connections, too: nobody knows", "xlvs tune set express=off"},
	{"four queues", "unserved-queues", Warning, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) { i.Channels.Combined = 4 },
		"4 receive queues and 2 have a socket", "ethtool -L eth0 combined 2"},
	{"a queue without hashes", "hash-table", Warning, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) { i.RSS.Queues = []uint32{0} },
		"nothing to queues [1]", "ethtool -X eth0 equal 2"},
	{"addresses alone", "hash-fields", Note, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) {
		i.RSS.Fields["tcp4"] = []string{"source", "destination"}
	}, "tcp4 frames are spread by source, destination alone", "rx-flow-hash tcp4 sdfn"},
	{"fragments by ports", "hash-fields", Note, func(f *Facts, _ *control.InterfaceTuning, i *nic.Interface) {
		f.Director.Fragments = []string{"udp4"}
		i.RSS.Fields["udp4"] = []string{"source", "destination", "source port", "destination port"}
	}, "later fragments of a packet", "rx-flow-hash udp4 sd, where"},
	{"small fill ring", "fill-ring", Warning, func(f *Facts, _ *control.InterfaceTuning, _ *nic.Interface) { f.Director.Rings.Fill = 2048 },
		"fill ring of 2048", "fill: 4096, frames: 10240"},
	{"small ring of its own", "hardware-ring", Note, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) { i.Rings.RX = 256 },
		"256 descriptors of 4096", "ethtool -G eth0 rx 1024"},
	{"MTU too large", "mtu", Warning, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) { i.MTU = 1800 },
		"above the 1770", "ip link set eth0 mtu 1770"},
	{"MTU close", "mtu", Note, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) { i.MTU = 1720 }, "close to the 1770", "frame_size: 4096"},
	{"LRO", "merged-frames", Warning, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) { i.Features["rx-lro"] = true }, "rx-lro is on", "ethtool -K eth0 rx-lro off"},
	{"GRO_HW", "merged-frames", Note, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) { i.Features["rx-gro-hw"] = true }, "rx-gro-hw is on", "rx-gro-hw off"},
	{"UDP GRO", "merged-frames", Note, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) {
		i.Features["rx-udp-gro-forwarding"] = true
	}, "merges UDP", "rx-udp-gro-forwarding off"},
	{"tags taken off", "vlan-stripping", Warning, func(f *Facts, _ *control.InterfaceTuning, _ *nic.Interface) { f.Director.VLANs = true },
		"takes tags off", "rxvlan off"},
	{"veth", "partial-checksums", Note, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) { i.Driver.Name = "veth" }, "leave out checksums", "tx off"},
	{"copies", "copy-mode", Warning, func(_ *Facts, d *control.InterfaceTuning, _ *nic.Interface) { d.Modes = []string{"copy", "copy"} },
		"zero copy is to be had", "mode: auto"},
	{"generic", "generic-mode", Warning, func(_ *Facts, d *control.InterfaceTuning, _ *nic.Interface) { d.Attached = "generic" }, "slowest way", "mode: auto"},
	{"small budget", "transmit-budget", Note, func(f *Facts, d *control.InterfaceTuning, _ *nic.Interface) {
		f.Director.Settings.TransmitBudget = ptr(32)
		d.Modes, d.Verdict = []string{"copy", "copy"}, "copy: driver veth is not known"
	}, "several system calls", "transmit_budget=64"},
	{"two on one CPU", "shared-cpu", Warning, func(f *Facts, _ *control.InterfaceTuning, i *nic.Interface) {
		f.Director.Workers[1].CPU = 2
		i.IRQs = nil
	}, "queues [0 1] share it", "as many CPUs"},
	{"interrupt elsewhere", "interrupts", Note, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) { i.IRQs[0].CPUs = []int{3} },
		"interrupt 60 (i40e-eth0-TxRx-0) of queue 0 may be served on cpu 3, which has the worker of queue 1", "echo 2 > /proc/irq/60/smp_affinity_list"},
	{"irqbalance", "irqbalance", Note, func(f *Facts, _ *control.InterfaceTuning, _ *nic.Interface) { f.Host.Irqbalance = true }, "irqbalance is running", "ban"},
	{"no CPU free", "spare-cpu", Note, func(f *Facts, _ *control.InterfaceTuning, _ *nic.Interface) { f.Host.CPUs = []int{2, 3} }, "every CPU", "leave one"},
	{"others on a worker's CPU", "waiting-worker", Note, func(f *Facts, _ *control.InterfaceTuning, _ *nic.Interface) {
		f.Schedules = map[uint32]measure.Schedule{0: {Ran: time.Minute, Waited: 10 * time.Millisecond}, 1: {Ran: 299 * time.Second, Waited: time.Second}}
	}, "queue 1 waited 0.33 % of the time", "cpuset"},
	{"GOMAXPROCS", "gomaxprocs", Warning, func(f *Facts, _ *control.InterfaceTuning, _ *nic.Interface) { f.Director.GOMAXPROCS = 2 }, "GOMAXPROCS is 2 with 2 workers", "restart"},
	{"timers for nobody", "napi-left-over", Warning, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) {
		i.Timers = &nic.Timers{DeferHardIRQs: 10, GROFlushTimeout: 500_000}
	}, "frames wait up to 500 µs", "echo 0 > /sys/class/net/eth0/napi_defer_hard_irqs"},
	{"an instance's timers for nobody", "napi-left-over", Warning, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) {
		i.NAPIs[1].Timers.DeferHardIRQs = 10
	}, "NAPI instance 12", "puts back"},
	{"timers missing", "napi-missing", Note, func(f *Facts, _ *control.InterfaceTuning, i *nic.Interface) {
		f.Director.Settings.BusyPoll.Enabled = ptr(true)
		i.NAPIs[0].Timers.DeferHardIRQs = 2
		i.Coalescing.AdaptiveRX = nil
	}, "NAPI instance 12 does not hold", "defer_hard_irqs=2"},
	{"short timeout", "napi-timeout", Note, func(f *Facts, _ *control.InterfaceTuning, i *nic.Interface) {
		b := f.Director.Settings.BusyPoll
		b.Enabled, b.Microseconds, b.GROFlushTimeout = ptr(true), ptr(50), ptr(20_000)
		i.NAPIs, i.Coalescing = nil, nil
	}, "after 20000 ns", "gro_flush_timeout=500000"},
	{"late interrupts", "coalescing", Note, func(_ *Facts, _ *control.InterfaceTuning, i *nic.Interface) {
		i.Coalescing.RXMicroseconds = ptr(uint32(500))
	},
		"waits 500 µs", "coalescing.eth0.rx_usecs=50"},
	{"adaptive interrupts", "coalescing", Note, func(f *Facts, _ *control.InterfaceTuning, i *nic.Interface) {
		f.Director.Settings.BusyPoll.Enabled, i.NAPIs = ptr(true), nil
	}, "disturb each other", "adaptive_rx=off"},
	{"trial", "trial", Note, func(f *Facts, _ *control.InterfaceTuning, _ *nic.Interface) { f.Director.Trial = true }, "on trial", "wait"},
}

func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, test := range spoiled {
		t.Run(test.name, func(t *testing.T) {
			f := good()
			test.spoil(f, &f.Director.Interfaces[0], &f.Interfaces[0])
			advice := Advise(f)
			if len(advice) != 1 {
				t.Fatalf("%d pieces of advice, want one: %+v", len(advice), advice)
			}
			a := advice[0]
			if a.Rule != test.rule || a.Severity != test.severity || !strings.Contains(a.Why, test.says) || !strings.Contains(a.Do, test.does) {
				t.Errorf("got  %+v\nwant %s (%s): %q -> %q", a, test.rule, test.severity, test.says, test.does)
			}
		})
		seen[test.rule] = true
	}
	for _, name := range Rules() {
		if !seen[name] {
			t.Errorf("rule %s has no case", name)
		}
	}
}

// What the kernel does not tell is no reason for advice, and none to fail.
func TestRulesOnNothing(t *testing.T) {
	f := good()
	f.Interfaces[0] = nic.Interface{Name: "eth0"}
	f.Director.Settings = control.Settings{}
	if advice := Advise(f); len(advice) > 0 {
		t.Errorf("%+v", advice)
	}
	f.Interfaces = nil
	f.Director.Workers = nil
	Advise(f)
	Advise(&Facts{})
}

// What advice tells to set can be set.
func TestAdviceCanBeTaken(t *testing.T) {
	for _, test := range spoiled {
		f := good()
		test.spoil(f, &f.Director.Interfaces[0], &f.Interfaces[0])
		for _, a := range Advise(f) {
			words := strings.Fields(a.Do)
			if i := slices.Index(words, "set"); i > 0 && words[i-1] == "tune" {
				if _, err := Parse(words[i+1:]); err != nil {
					t.Errorf("%s: %q: %v", a.Rule, a.Do, err)
				}
			}
		}
	}
}
