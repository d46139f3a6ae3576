package measure

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Schedule is what the kernel's scheduler has counted of a thread since it began.
type Schedule struct {
	Ran    time.Duration `json:"ran_ns"`    // on a CPU
	Waited time.Duration `json:"waited_ns"` // ready to run while something else had its CPU
}

// ReadSchedule reads a schedstat file of /proc (sched-stats.rst of the kernel), such as
// /proc/PID/task/TID/schedstat. Kernels without it count nothing.
func ReadSchedule(path string) (s Schedule) {
	text, err := os.ReadFile(path)
	if err != nil {
		return s
	}
	if _, err := fmt.Sscan(string(text), (*int64)(&s.Ran), (*int64)(&s.Waited)); err != nil {
		return Schedule{}
	}
	return s
}

// OwnSchedule is the calling thread's, which its goroutine must have locked.
func OwnSchedule() Schedule { return ReadSchedule("/proc/thread-self/schedstat") }

// Stolen is how long the machine's processors were ready to run, all of them together,
// while its hypervisor ran something else: since the start, in steps of 10 ms. 0 on a
// machine that is nobody's guest, and where the hypervisor does not tell.
func Stolen() time.Duration { return readStolen("/proc/stat") }

// readStolen reads the eighth number of proc_stat(5), which is in ticks.
func readStolen(path string) time.Duration {
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
