package tune

import (
	"fmt"
	"slices"
	"time"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
)

// transmitBudget: in copy mode the kernel takes no more than the budget in a
// call, so a smaller one than the batch means several calls for each batch.
func transmitBudget(f *Facts, say sayer) {
	budget, batch := value(f.Director.Settings.TransmitBudget), value(f.Director.Settings.Batch)
	copies := slices.ContainsFunc(f.Director.Interfaces, func(i control.InterfaceTuning) bool {
		return slices.Contains(i.Modes, "copy") || slices.Contains(i.Modes, "generic")
	})
	if copies && budget < batch {
		say(Note, "director", fmt.Sprintf("a transmit budget of %d makes several system calls of a batch of %d", budget, batch),
			fmt.Sprintf("xlvs tune set transmit_budget=%d", powerOfTwo(batch)))
	}
}

// sharedCPU: workers on one CPU take turns.
func sharedCPU(f *Facts, say sayer) {
	on := map[int][]uint32{}
	var cpus []int
	for _, w := range f.Director.Workers {
		if w.CPU < 0 {
			continue
		}
		if on[w.CPU] == nil {
			cpus = append(cpus, w.CPU)
		}
		on[w.CPU] = append(on[w.CPU], w.Queue)
	}
	for _, cpu := range cpus {
		if len(on[cpu]) > 1 {
			say(Warning, fmt.Sprintf("cpu %d", cpu), fmt.Sprintf("the workers of queues %v share it and take turns", on[cpu]),
				"name as many CPUs as there are queues (workers: {cpus: ...}), or use fewer queues (ethtool -L)")
		}
	}
}

// interrupts: a queue's frames are received where its interrupt is served. On the
// CPU of another queue's worker that takes time from the wrong one.
func interrupts(f *Facts, say sayer) {
	worker := map[int]uint32{} // by CPU
	for _, w := range f.Director.Workers {
		worker[w.CPU] = w.Queue
	}
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		for _, irq := range host.IRQs {
			if !slices.Contains(used.Queues, irq.Queue) || len(irq.CPUs) == 0 {
				continue
			}
			for _, cpu := range irq.CPUs {
				if queue, ok := worker[cpu]; ok && int(queue) != irq.Queue {
					say(Note, used.Name, fmt.Sprintf("interrupt %d (%s) of queue %d may be served on cpu %d, which has the worker of queue %d",
						irq.Number, irq.Name, irq.Queue, cpu, queue),
						fmt.Sprintf("echo %d > /proc/irq/%d/smp_affinity_list", cpuFor(f, irq.Queue), irq.Number))
					break
				}
			}
		}
	})
}

// cpuFor is the CPU of a queue's worker.
func cpuFor(f *Facts, queue int) int {
	for _, w := range f.Director.Workers {
		if int(w.Queue) == queue {
			return w.CPU
		}
	}
	return 0
}

// irqbalance moves interrupts behind everybody's back.
func irqbalance(f *Facts, say sayer) {
	if f.Host.Irqbalance {
		say(Note, "director", "irqbalance is running: it moves interrupts to other CPUs, those of workers too",
			"stop it, or ban the interfaces' interrupts (IRQBALANCE_ARGS=--banirq=...) and place them by hand")
	}
}

// spareCPU: with a worker on every CPU the control plane, health of the neighbours
// and the garbage collector wait for one of them.
func spareCPU(f *Facts, say sayer) {
	free := slices.DeleteFunc(slices.Clone(f.Host.CPUs), func(cpu int) bool {
		return slices.ContainsFunc(f.Director.Workers, func(w control.WorkerTuning) bool { return w.CPU == cpu })
	})
	if len(f.Host.CPUs) > 0 && len(free) == 0 {
		say(Note, "director", "every CPU has a worker: under full load everything else on the host waits",
			"leave one CPU without (fewer queues, ethtool -L, or workers: {cpus: ...})")
	}
}

// waitingWorker: what runs on a worker's CPU beside it, runs for a time slice of
// milliseconds, and frames wait.
func waitingWorker(f *Facts, say sayer) {
	const (
		enough = time.Second // of running, to tell anything
		often  = 0.001       // shows in the 99.9th percentile of delays
	)
	for _, w := range f.Director.Workers {
		s := f.Schedules[w.Queue]
		share := float64(s.Waited) / float64(s.Ran+s.Waited)
		if s.Ran < enough || share < often {
			continue
		}
		say(Note, "director", fmt.Sprintf("the worker of queue %d waited %.2g %% of the time that it had work for its CPU, where something else ran: frames waited, too",
			w.Queue, 100*share), "give it a CPU of its own (isolcpus=, or a cpuset partition, and workers: {cpus: ...})")
	}
}

// gomaxprocs: the Go runtime needs a processor for each worker, and more for the rest.
func gomaxprocs(f *Facts, say sayer) {
	if need := len(f.Director.Workers) + 1; f.Director.GOMAXPROCS < need {
		say(Warning, "director", fmt.Sprintf("GOMAXPROCS is %d with %s: they wait for each other",
			f.Director.GOMAXPROCS, plural(len(f.Director.Workers), "worker", "workers")), "restart without GOMAXPROCS in the environment")
	}
}

// napiLeftOver: timers that nobody asked for hold interrupts back for nobody.
func napiLeftOver(f *Facts, say sayer) {
	if busyPolling(f) {
		return
	}
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		if t := host.Timers; t != nil && t.DeferHardIRQs > 0 {
			say(Warning, used.Name, fmt.Sprintf("%v although busy polling is off: frames wait up to %d µs", t, t.GROFlushTimeout/1000),
				fmt.Sprintf("echo 0 > /sys/class/net/%s/napi_defer_hard_irqs; echo 0 > /sys/class/net/%s/gro_flush_timeout", used.Name, used.Name))
			return
		}
		for _, n := range host.NAPIs {
			if n.Timers != nil && n.Timers.DeferHardIRQs > 0 {
				say(Warning, used.Name, fmt.Sprintf("NAPI instance %d has %v although busy polling is off", n.ID, n.Timers),
					"find out who set it; xlvs puts back what it changes itself")
			}
		}
	})
}

func busyPolling(f *Facts) bool {
	b := f.Director.Settings.BusyPoll
	return b != nil && value(b.Enabled)
}

// napiMissing: busy polling without timers leaves interrupts on, and both work.
func napiMissing(f *Facts, say sayer) {
	if !busyPolling(f) {
		return
	}
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		for _, n := range host.NAPIs {
			if n.Serves(used.Queues) && n.Timers != nil && n.Timers.DeferHardIRQs == 0 {
				say(Note, used.Name, fmt.Sprintf("busy polling is on, but NAPI instance %d does not hold interrupts back", n.ID),
					"xlvs tune set busy_poll.defer_hard_irqs=2")
			}
		}
	})
}

// napiTimeout: a timeout shorter than the worker's polling takes it over.
func napiTimeout(f *Facts, say sayer) {
	if !busyPolling(f) {
		return
	}
	b := f.Director.Settings.BusyPoll
	if polls := value(b.Microseconds); value(b.GROFlushTimeout) < polls*1000 {
		say(Note, "director", fmt.Sprintf("the kernel polls by itself after %d ns, before a worker that polls for %d µs gives up",
			value(b.GROFlushTimeout), polls), fmt.Sprintf("xlvs tune set busy_poll.gro_flush_timeout=%d", 10*polls*1000))
	}
}

// coalescing: an interface that waits long before it interrupts delays every
// first frame; with busy polling, one that decides by itself works against it.
func coalescing(f *Facts, say sayer) {
	const long = 100
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		if host.Coalescing == nil {
			return
		}
		if usecs := value(host.Coalescing.RXMicroseconds); usecs > long {
			say(Note, used.Name, fmt.Sprintf("it waits %d µs before it tells of a frame", usecs),
				fmt.Sprintf("xlvs tune set coalescing.%s.rx_usecs=%d", used.Name, long/2))
		}
		if busyPolling(f) && value(host.Coalescing.AdaptiveRX) {
			say(Note, used.Name, "it adapts its interrupts to the load while busy polling holds them back: the two disturb each other",
				fmt.Sprintf("xlvs tune set coalescing.%s.adaptive_rx=off", used.Name))
		}
	})
}

// onTrial: settings that will be taken back are not what the file says.
func onTrial(f *Facts, say sayer) {
	if f.Director.Trial {
		say(Note, "director", "the settings are on trial (a search is running) and will be taken back", "wait for its end")
	}
}
