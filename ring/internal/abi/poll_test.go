package abi

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A signal that ends the unannounced part of a sleep does not shorten the sleep: the
// scheduler sends one whenever it wants a thread to halt.
func TestPollSleepsOnAfterASignal(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const whole = 5 * nap
	process, thread := unix.Getpid(), unix.Gettid()
	for range 10 {
		timer := time.AfterFunc(nap/4, func() { _ = unix.Tgkill(process, thread, unix.SIGURG) })
		start := time.Now()
		errno := (Linux{}).Poll(nil, whole)
		took := time.Since(start)
		timer.Stop()
		if errno == unix.EINTR {
			continue // the timer was late: the signal met the announced part, and the caller is told
		}
		if errno != 0 || took < whole {
			t.Errorf("slept %v, want %v (%v)", took, whole, errno)
		}
	}
}
