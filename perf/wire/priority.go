package wire

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// highPriority is the nice value of those who measure and are measured.
const highPriority = -20

// pin keeps the calling thread, which its goroutine must have locked, on a CPU,
// and puts it before others there. The latter is not everybody's to ask for.
func pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to cpu %d: %w", cpu, err)
	}
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), highPriority)
	return nil
}

// raiseSession puts the session of a process before others. Where the kernel
// groups processes by session (sched(7), autogroup), nice values count between
// those of one session alone. The function that it returns puts things back; where
// there are no such groups, neither does anything.
func raiseSession(pid int) (restore func()) {
	path := fmt.Sprintf("/proc/%d/autogroup", pid)
	text, err := os.ReadFile(path)
	_, before, found := strings.Cut(strings.TrimSpace(string(text)), " nice ")
	if err != nil || !found {
		return func() {}
	}
	_ = os.WriteFile(path, fmt.Append(nil, highPriority), 0)
	return func() { _ = os.WriteFile(path, []byte(before), 0) }
}
