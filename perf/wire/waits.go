package wire

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/xlvs/xlvs/perf/measure"
)

// schedules are those of a balancer's threads, by number; none if it has no process.
func (r *running) schedules() map[int]measure.Schedule {
	if r.child == nil {
		return nil
	}
	dir := fmt.Sprintf("/proc/%d/task", r.child.cmd.Process.Pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	all := map[int]measure.Schedule{}
	for _, task := range tasks {
		if thread, err := strconv.Atoi(task.Name()); err == nil {
			all[thread] = measure.ReadSchedule(dir + "/" + task.Name() + "/schedstat")
		}
	}
	return all
}

// busy is what share of a time a thread must have run to be one that carries frames.
const busy = 0.05

// waitedSince is the longest that one of the threads waited which carried frames, since
// before and for a time.
func waitedSince(before, now map[int]measure.Schedule, elapsed time.Duration) (longest time.Duration) {
	for thread, s := range now {
		if was := before[thread]; s.Ran-was.Ran > time.Duration(busy*float64(elapsed)) {
			longest = max(longest, s.Waited-was.Waited)
		}
	}
	return longest
}

// stolen is what a hypervisor has taken from all processors so far; 0 if that is not known.
func stolen() time.Duration {
	times, err := measure.ReadTimes()
	if err != nil {
		return 0
	}
	return times.Stolen
}
