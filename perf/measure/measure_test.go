package measure

import (
	"runtime"
	"testing"
	"time"
)

func TestClocksCountWorkAndNotWaiting(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for name, clock := range map[string]func() time.Duration{"thread": ThreadTime, "process": ProcessTime} {
		if n := testing.AllocsPerRun(100, func() { clock() }); n != 0 {
			t.Errorf("%s: reading the clock allocates %v times", name, n)
		}
		before := clock()
		for clock() == before { // work moves it
		}
	}
	before := ThreadTime()
	deadline := time.Now().Add(20 * time.Millisecond)
	<-time.After(time.Until(deadline))
	if used := ThreadTime() - before; used > 15*time.Millisecond {
		t.Errorf("waiting for 20 ms counted as %v of work", used)
	}
}

func TestMemoryIsZeroed(t *testing.T) {
	mem, err := Memory(3 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer Unmap(mem)
	for i, b := range mem {
		if b != 0 {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
}

func TestMachineIsDescribed(t *testing.T) {
	m := Machine("1.2.3")
	if m.CPU == "" || m.Cores < 1 || m.Kernel == "" || m.GoVersion == "" || m.MemoryMB == 0 || m.Load == "" || m.Version != "1.2.3" {
		t.Errorf("something is missing: %+v", m)
	}
}

func TestInterfaceIsDescribed(t *testing.T) {
	if i := Interface("lo"); i.Name != "lo" || i.MTU == 0 || i.Queues != 1 {
		t.Errorf("%+v", i)
	}
	if i := Interface("nowhere"); i.Name != "nowhere" || i.MTU != 0 || i.Driver != "" {
		t.Errorf("%+v", i)
	}
}
