package tune

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
	"github.com/xlvs/xlvs/perf/measure"
)

// Facts are what advice is given on.
type Facts struct {
	Host       Host            `json:"host"`
	Director   control.Tuning  `json:"director"`
	Interfaces []nic.Interface `json:"interfaces"` // of the director, those that exist
	Nodes      map[string]int  `json:"nodes"`      // NUMA, by interface, those that are known
	// Schedules are how long each worker's thread has run and has waited for its CPU, by
	// queue, in ns since the director's start.
	Schedules map[uint32]measure.Schedule `json:"schedules"`
}

// Host is the machine.
type Host struct {
	Kernel     string `json:"kernel"`
	CPUs       []int  `json:"cpus"`     // online
	Topology   []CPU  `json:"topology"` // of those online
	Irqbalance bool   `json:"irqbalance"`
	Version    string `json:"version"` // of the director
	PID        int    `json:"pid"`
}

// Gather asks a running director and looks at the host that it runs on. It needs
// the rights to enter the director's network namespace if that is another one.
func Gather(ctx context.Context, client *control.Client) (*Facts, error) {
	status, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	tuning, err := client.Tuning(ctx)
	if err != nil {
		return nil, err
	}
	f := &Facts{Host: readHost("/proc", "/sys"), Director: *tuning, Nodes: map[string]int{}, Schedules: map[uint32]measure.Schedule{}}
	f.Host.Version, f.Host.PID = status.Version, status.PID
	for _, w := range tuning.Workers {
		f.Schedules[w.Queue] = measure.ReadSchedule(fmt.Sprintf("/proc/%d/task/%d/schedstat", status.PID, w.Thread))
	}
	err = inNamespaceOf(status.PID, func() error {
		for _, i := range tuning.Interfaces {
			if facts, err := nic.Read(i.Name); err == nil { // one that is gone is in the director's own words
				f.Interfaces = append(f.Interfaces, *facts)
				if node := readNode("/sys", bus(facts)); node >= 0 {
					f.Nodes[i.Name] = node
				}
			}
		}
		return nil
	})
	return f, err
}

func readHost(proc, sys string) Host {
	h := Host{Irqbalance: nic.Running(proc, "irqbalance")}
	if release, err := os.ReadFile(filepath.Join(proc, "sys/kernel/osrelease")); err == nil {
		h.Kernel = strings.TrimSpace(string(release))
	}
	if online, err := os.ReadFile(filepath.Join(sys, "devices/system/cpu/online")); err == nil {
		h.CPUs = nic.ParseCPUList(strings.TrimSpace(string(online)))
	}
	h.Topology = readTopology(sys, h.CPUs)
	return h
}

// inNamespaceOf runs f in the network namespace of a process: on this thread if it
// is the same, else on one of its own.
func inNamespaceOf(pid int, f func() error) error {
	path := filepath.Join("/proc", strconv.Itoa(pid), "ns/net")
	theirs, err := os.Readlink(path)
	if err != nil {
		return fmt.Errorf("network namespace of the director, pid %d: %w", pid, err)
	}
	if ours, err := os.Readlink("/proc/thread-self/ns/net"); err == nil && ours == theirs {
		return f()
	}
	namespace, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("network namespace of the director, pid %d: %w", pid, err)
	}
	defer namespace.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the network namespace of the director, pid %d: %w", pid, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// host finds what the kernel says of one of the director's interfaces.
func (f *Facts) host(name string) *nic.Interface {
	for i := range f.Interfaces {
		if f.Interfaces[i].Name == name {
			return &f.Interfaces[i]
		}
	}
	return nil
}

// bus is where an interface's device is: a PCI address, for one.
func bus(i *nic.Interface) string {
	if i.Driver == nil {
		return ""
	}
	return i.Driver.Bus
}

// value is what a setting points to, or its zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// Machine is this machine in a line.
func Machine() string {
	h := readHost("/proc", "/sys")
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if key, text, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(text)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %s, kernel %s", plural(len(h.CPUs), "CPU", "CPUs"), model, h.Kernel)
}
