package control

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/dataplane"
)

// maxFailures is more failures than workers can have before the director reads
// them: one a port and worker.
const maxFailures = 1 << 12

// startWorkers starts the workers and the sweeper.
func (d *Director) startWorkers() error {
	d.plane.Publish(d.snapshot()) // the neighbours are known by now
	d.failures = make(chan dataplane.Failure, maxFailures)
	if err := d.addWorkers(); err != nil {
		return err
	}
	d.startSweeper()
	return nil
}

// addWorkers starts a worker for each queue number that a port serves and that
// has none yet.
func (d *Director) addWorkers() error {
	var queues []int
	for _, p := range d.ports {
		queues = append(queues, p.queues...)
	}
	slices.Sort(queues)
	queues = slices.Compact(queues)
	// Two more than there are workers: one for the control plane, one for the
	// garbage collector, so that neither waits for a worker.
	runtime.GOMAXPROCS(max(runtime.NumCPU(), len(queues)+2))
	cpus := d.workerCPUs()
	for i, queue := range queues {
		if d.worker(queue) != nil {
			continue
		}
		if err := d.startWorker(queue, cpus[i%len(cpus)]); err != nil {
			return err
		}
	}
	return nil
}

// workerCPUs is where workers run, in turn: where the configuration says, or
// on the CPUs that the process may use, the last first, because the first has
// the most other work as a rule. -1 is anywhere.
func (d *Director) workerCPUs() []int {
	if len(d.tuning.cpus) > 0 {
		return d.tuning.cpus
	}
	if cpus := processCPUs(); len(cpus) > 0 {
		return cpus
	}
	return []int{-1}
}

// processCPUs are the CPUs that the process may use, the last first: those of
// the calling thread, which must not be a worker's.
func processCPUs() []int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil
	}
	var cpus []int
	for cpu := len(set)*64 - 1; cpu >= 0; cpu-- {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

func (d *Director) startWorker(queue, cpu int) error {
	w, err := dataplane.NewWorker(d.plane, dataplane.WorkerConfig{
		Queue: uint32(queue), CPU: cpu, Batch: d.tuning.batch, Spin: d.tuning.spin,
		Ports: len(d.ports), Frames: d.umemConfig(), Failures: d.failures, Now: monotonicTick,
	})
	if err != nil {
		return err
	}
	d.workers = append(d.workers, w)
	ended := make(chan error, 1)
	go func() { ended <- w.Run() }()
	d.onStop(func() error {
		w.Stop()
		return <-ended
	})
	return nil
}

// clockBase relates the process's clock to CLOCK_MONOTONIC, which the tables
// count in: reading the former needs no system call.
var clockBase = sync.OnceValue(func() (base struct {
	start time.Time
	tick  time.Duration
}) {
	var ts unix.Timespec
	base.start = time.Now()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // the kernel has had it since 2.6
	}
	base.tick = time.Duration(ts.Nano())
	return base
})

// monotonicTick is the time now in the tables' ticks.
func monotonicTick() affinity.Tick {
	base := clockBase()
	return affinity.TickAt(int64(base.tick + time.Since(base.start)))
}

// sweepPeriod is how often expired entries are looked for, sweepLines how many homes
// at once: some tens of microseconds, for it may be a worker's CPU where it runs;
// sweepShare bounds the time spent on it to one part in so many.
const (
	sweepPeriod = time.Second
	sweepLines  = 1 << 14
	sweepShare  = 50
)

// startSweeper removes expired entries in the background, a part of the tables
// at a time.
func (d *Director) startSweeper() {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		timer := time.NewTimer(sweepPeriod)
		defer timer.Stop()
		for {
			select {
			case <-stop:
				return
			case <-timer.C:
			}
			start := time.Now()
			wrapped := d.tables.Sweep(monotonicTick(), sweepLines)
			pause := time.Since(start) * sweepShare
			if wrapped {
				pause = max(pause, sweepPeriod)
			}
			timer.Reset(pause)
		}
	}()
	d.onStop(func() error {
		close(stop)
		<-done
		return nil
	})
}
