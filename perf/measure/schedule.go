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

// Times are what all processors together have done since the machine's start, in
// steps of Tick.
type Times struct {
	Busy time.Duration // with something, interrupts included
	// Stolen is how long they were ready to run while the machine's hypervisor ran
	// something else. 0 on a machine that is nobody's guest, and where the hypervisor
	// does not tell.
	Stolen time.Duration
}

// Tick is the unit of /proc/stat, USER_HZ.
const Tick = 10 * time.Millisecond

// ReadTimes reads the machine's.
func ReadTimes() (Times, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Times{}, err
	}
	return parseTimes(string(text))
}

// parseTimes reads the first line of /proc/stat: user, nice, system, idle, iowait,
// irq, softirq, steal, ... (proc_stat(5)).
func parseTimes(stat string) (t Times, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return t, fmt.Errorf("/proc/stat begins with %q", line)
	}
	add := func(to *time.Duration, fields ...string) {
		for _, field := range fields {
			n, parsing := strconv.ParseInt(field, 10, 64)
			if parsing != nil {
				err = fmt.Errorf("/proc/stat: %w", parsing)
			}
			*to += time.Duration(n) * Tick
		}
	}
	add(&t.Busy, fields[1], fields[2], fields[3], fields[6], fields[7])
	if len(fields) > 8 {
		add(&t.Stolen, fields[8])
	}
	return t, err
}
