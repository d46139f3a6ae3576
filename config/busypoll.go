package config

import "fmt"

// BusyPoll is preferred busy polling: workers poll the queues of the interfaces,
// whose interrupts are held back meanwhile.
type BusyPoll struct {
	Enabled bool
	// Microseconds is how long a worker polls before it sleeps.
	Microseconds int
	Budget       int // frames that one poll receives
	// DeferHardIRQs and GROFlushTimeout, in nanoseconds, are set on the NAPI
	// instances of the interfaces while the director runs.
	DeferHardIRQs   int
	GROFlushTimeout int
}

// The limits of busy polling that are not the kernel's keep a typing error from
// stopping a queue: with interrupts held back, the timeout is all that is left.
const (
	maxBusyMicroseconds = 10_000
	maxBusyBudget       = 1<<16 - 1
	maxDeferHardIRQs    = 1000
	minGROFlushTimeout  = 1_000
	maxGROFlushTimeout  = 100_000_000
)

// defaultBusyPoll is sound with NAPI on most interfaces; see Limits in
// Documentation/networking/napi.rst.
func defaultBusyPoll() BusyPoll {
	return BusyPoll{Microseconds: 20, Budget: 64, DeferHardIRQs: 2, GROFlushTimeout: 200_000}
}

func readBusyPoll(v value) BusyPoll {
	f := v.fields("busy_poll", "enabled", "microseconds", "budget", "defer_hard_irqs", "gro_flush_timeout")
	def := defaultBusyPoll()
	b := BusyPoll{
		Enabled:         f.flag("enabled", def.Enabled),
		Microseconds:    int(f.number("microseconds", int64(def.Microseconds), 1, maxBusyMicroseconds)),
		Budget:          int(f.number("budget", int64(def.Budget), 1, maxBusyBudget)),
		DeferHardIRQs:   int(f.number("defer_hard_irqs", int64(def.DeferHardIRQs), 0, maxDeferHardIRQs)),
		GROFlushTimeout: int(f.number("gro_flush_timeout", int64(def.GROFlushTimeout), minGROFlushTimeout, maxGROFlushTimeout)),
	}
	if f.at("gro_flush_timeout").absent() || b.Microseconds*1000 < b.GROFlushTimeout {
		return b
	}
	f.at("gro_flush_timeout").warnf("the kernel polls by itself after %d ns, before a worker that polls for %d microseconds gives up: "+
		"write more than %d to leave the polling to the worker", b.GROFlushTimeout, b.Microseconds, b.Microseconds*1000)
	return b
}

// String is the setting as in a file.
func (b BusyPoll) String() string {
	return fmt.Sprintf("{enabled: %t, microseconds: %d, budget: %d, defer_hard_irqs: %d, gro_flush_timeout: %d}",
		b.Enabled, b.Microseconds, b.Budget, b.DeferHardIRQs, b.GROFlushTimeout)
}
