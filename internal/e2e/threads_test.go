package e2e

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/control"
)

// TestWorkersGoFirst has a worker where it is put, ahead of other programs there.
func TestWorkersGoFirst(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.start(b.config(loadPolicy(0)))
	tuning, err := b.control.Tuning(t.Context())
	must(t, err)
	for _, cpu := range tuning.CPUs {
		tuning, err := b.control.Tune(t.Context(), &control.Settings{CPUs: &[]int{cpu}}, 0)
		must(t, err)
		worker := tuning.Workers[0].Thread
		var set, want unix.CPUSet
		want.Set(cpu)
		must(t, unix.SchedGetaffinity(worker, &set))
		if set != want {
			t.Errorf("worker on cpu %d: its thread may use %v", cpu, set)
		}
		// getpriority(2) of the system call is 20 less the nice value.
		if raw, err := unix.Getpriority(unix.PRIO_PROCESS, worker); err != nil || 20-raw != -20 {
			t.Errorf("the worker's nice value is %d (%v)", 20-raw, err)
		}
	}
	b.forwardsOn(0)
	b.stop()
}
