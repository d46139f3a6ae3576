package measure

import (
	"time"

	"golang.org/x/sys/unix"
)

// ThreadTime is the processor time that the calling thread has used. Work of one
// goroutine is measured by it, on a locked thread: time in which something else had the
// processor does not count. What others do to the caches, and a hypervisor that takes
// the processor away, still shows.
func ThreadTime() time.Duration { return read(unix.CLOCK_THREAD_CPUTIME_ID) }

// ProcessTime is the processor time that all threads of the process have used. It is the
// clock for work that a library also does in goroutines of its own, and for garbage.
func ProcessTime() time.Duration { return read(unix.CLOCK_PROCESS_CPUTIME_ID) }

func read(clock int32) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(clock, &now); err != nil {
		panic("measure: clock_gettime: " + err.Error()) // both clocks are older than any kernel that has AF_XDP
	}
	return time.Duration(now.Nano())
}
