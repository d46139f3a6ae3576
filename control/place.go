package control

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/dataplane"
)

// processCPUs are the CPUs that the process may use, the last first. It is asked
// once, before leaveToWorkers changes what the kernel says of most threads.
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

// workerCPUs is where workers run, in turn: where the configuration says, or
// on the CPUs that the process may use, the last first, because the first has
// the most other work as a rule. -1 is anywhere.
func (d *Director) workerCPUs() []int {
	if len(d.tuning.cpus) > 0 {
		return d.tuning.cpus
	}
	if len(d.cpus) > 0 {
		return d.cpus
	}
	return []int{-1}
}

// leaveToWorkers keeps the process's other threads off the workers' CPUs, if that
// leaves them any: the runtime's own look after the program every few
// milliseconds, and each time hold a worker up. Where they go they come first, as
// workers do: a worker that the runtime has stopped for a moment waits for one of them.
// Threads to come begin where those that start them are, and with their priority.
func (d *Director) leaveToWorkers() error {
	workers, taken := map[int]bool{}, map[int]bool{}
	for _, w := range d.workers {
		thread, cpu := w.Place()
		workers[thread], taken[cpu] = true, true
	}
	rest := slices.DeleteFunc(slices.Clone(d.cpus), func(cpu int) bool { return taken[cpu] })
	if len(rest) == 0 {
		rest = d.cpus
	}
	return moveThreads(rest, workers)
}

// moveThreads has all threads of the process, but for some, run on the given CPUs
// alone, with the workers' priority if the process may ask for it.
func moveThreads(cpus []int, except map[int]bool) error {
	if len(cpus) == 0 {
		return nil // nobody knows which there are
	}
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	moved := map[int]bool{}
	for { // until there is none that was started by one not moved yet
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		before := len(moved)
		for _, task := range tasks {
			thread, err := strconv.Atoi(task.Name())
			if err != nil || except[thread] || moved[thread] {
				continue
			}
			if err := unix.SchedSetaffinity(thread, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("move thread %d to cpus %v: %w", thread, cpus, err)
			}
			_ = unix.Setpriority(unix.PRIO_PROCESS, thread, dataplane.HighPriority)
			moved[thread] = true
		}
		if len(moved) == before {
			return nil
		}
	}
}
