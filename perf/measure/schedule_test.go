package measure

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReadSchedule(t *testing.T) {
	file := filepath.Join(t.TempDir(), "schedstat")
	for text, want := range map[string]Schedule{
		"1500 2500 7\n": {1500, 2500},
		"0 0 0\n":       {},
		"":              {},
		"many few 1\n":  {},
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := ReadSchedule(file); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if got := ReadSchedule(file + ".none"); got != (Schedule{}) {
		t.Errorf("no file: %+v", got)
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"cpu  9 8 7 6 5 4 3 25 1 0\ncpu0 9 8 7 6 5 4 3 11 1 0\n": 250 * time.Millisecond,
		"cpu  9 8 7 6\n": 0, // of a kernel of old
		"":               0,
	} {
		if got, _ := parseTimes(text); got.Stolen != want {
			t.Errorf("%q: %v, want %v", text, got.Stolen, want)
		}
	}
	times, err := parseTimes("cpu  100 10 50 9999 77 5 6 7 0 0\ncpu0 1\n")
	if err != nil || times.Busy != 171*Tick {
		t.Errorf("%v, %v", times, err)
	}
	if _, err := parseTimes("intr 5"); err == nil {
		t.Error("what is not /proc/stat was taken")
	}
	if _, err := ReadTimes(); err != nil {
		t.Error(err)
	}
}

// Two threads that want one CPU wait for each other, and it shows.
func TestOwnScheduleTellsWaiting(t *testing.T) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !all.IsSet(cpu) {
		cpu++
	}
	waited := make(chan error)
	for range 2 {
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			var one unix.CPUSet
			one.Set(cpu)
			err := unix.SchedSetaffinity(0, &one)
			for start := time.Now(); err == nil && OwnSchedule().Waited == 0; {
				if time.Since(start) > 20*time.Second {
					err = errors.New("it never waited")
				}
			}
			waited <- err
		}()
	}
	for range 2 {
		if err := <-waited; err != nil {
			t.Error(err)
		}
	}
}
