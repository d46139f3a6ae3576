package e2e

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/dataplane"
)

// TestThreadsLeaveWorkersAlone has the director's other threads keep off the CPU of
// its worker, wherever that is moved. All of them go ahead of other programs.
func TestThreadsLeaveWorkersAlone(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	var all unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &all))
	b.start(b.config(loadPolicy(0)))
	for cpu := range 2 {
		if !all.IsSet(cpu) || all.Count() < 2 {
			t.Fatalf("this test wants CPUs 0 and 1")
		}
		_, err := b.control.Tune(t.Context(), &control.Settings{CPUs: &[]int{cpu}}, 0)
		must(t, err)
		rest := all
		rest.Clear(cpu)
		b.threadsAre(cpu, rest)
	}
	_, err := b.control.Tune(t.Context(), &control.Settings{CPUs: &[]int{}}, 0)
	must(t, err)
	b.forwardsOn(0)
	b.stop()
}

// threadsAre checks that the worker is on a CPU, and all others on the rest.
func (b *bed) threadsAre(cpu int, rest unix.CPUSet) {
	b.t.Helper()
	tuning, err := b.control.Tuning(b.t.Context())
	must(b.t, err)
	worker := tuning.Workers[0].Thread
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", b.process.ID()))
	must(b.t, err)
	var only unix.CPUSet
	only.Set(cpu)
	for _, task := range tasks {
		thread, err := strconv.Atoi(task.Name())
		must(b.t, err)
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(thread, &set); err != nil {
			continue // it has ended
		}
		// getpriority(2) of the system call is 20 less the nice value.
		if raw, err := unix.Getpriority(unix.PRIO_PROCESS, thread); err == nil && 20-raw != dataplane.HighPriority {
			b.t.Errorf("thread %d (worker %d): nice value %d", thread, worker, 20-raw)
		}
		if want := map[bool]unix.CPUSet{true: only, false: rest}[thread == worker]; set != want {
			b.t.Errorf("worker on cpu %d: thread %d (worker %d) may use %v, want %v", cpu, thread, worker, set, want)
		}
	}
}
