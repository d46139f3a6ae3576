package wire

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// schedule is what the kernel's scheduler has counted of a thread: how long it ran,
// and how long it was ready to run while others had its CPU.
type schedule struct{ ran, waited time.Duration }

// readSchedule reads a schedstat file of proc (sched-stats.rst of the kernel). Kernels
// without it count nothing.
func readSchedule(path string) (s schedule) {
	text, err := os.ReadFile(path)
	if err != nil {
		return s
	}
	if _, err := fmt.Sscan(string(text), (*int64)(&s.ran), (*int64)(&s.waited)); err != nil {
		return schedule{}
	}
	return s
}

// ownSchedule is the calling thread's, which its goroutine must have locked.
func ownSchedule() schedule { return readSchedule("/proc/thread-self/schedstat") }

// schedules are those of a balancer's threads, by number; none if it has no process.
func (r *running) schedules() map[int]schedule {
	if r.child == nil {
		return nil
	}
	dir := fmt.Sprintf("/proc/%d/task", r.child.cmd.Process.Pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	all := map[int]schedule{}
	for _, task := range tasks {
		if thread, err := strconv.Atoi(task.Name()); err == nil {
			all[thread] = readSchedule(dir + "/" + task.Name() + "/schedstat")
		}
	}
	return all
}

const procStat = "/proc/stat"

// stolen is how long the machine's processors were ready to run, all of them together,
// while its hypervisor ran something else: the eighth number of proc_stat(5), in ticks.
// 0 on a machine that is none's guest, and where the hypervisor does not tell.
func stolen(path string) time.Duration {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	const field, tick = 8, 10 * time.Millisecond
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) <= field {
		return 0
	}
	n, _ := strconv.ParseInt(fields[field], 10, 64)
	return time.Duration(n) * tick
}

// busy is what share of a time a thread must have run to be one that carries frames.
const busy = 0.05

// waitedSince is the longest that one of the threads waited which carried frames, since
// before and for a time.
func waitedSince(before, now map[int]schedule, elapsed time.Duration) (longest time.Duration) {
	for thread, s := range now {
		if was := before[thread]; s.ran-was.ran > time.Duration(busy*float64(elapsed)) {
			longest = max(longest, s.waited-was.waited)
		}
	}
	return longest
}
