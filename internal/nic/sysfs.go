package nic

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// InterfaceTimers reads the timers that an interface has as a whole: those of
// NAPI instances to come, and of all instances before Linux 6.13.
func InterfaceTimers(name string, ifindex int) (t Timers, err error) {
	err = inSysfs(name, ifindex, func(dir string) error {
		defers, err := readNumber(filepath.Join(dir, "napi_defer_hard_irqs"))
		if err != nil {
			return err
		}
		flush, err := readNumber(filepath.Join(dir, "gro_flush_timeout"))
		t = Timers{uint32(defers), flush}
		return err
	})
	return t, err
}

// SetInterfaceTimers sets the timers of all NAPI instances of an interface, and
// of those to come.
func SetInterfaceTimers(name string, ifindex int, t Timers) error {
	return inSysfs(name, ifindex, func(dir string) error {
		if err := writeNumber(filepath.Join(dir, "napi_defer_hard_irqs"), uint64(t.DeferHardIRQs)); err != nil {
			return err
		}
		return writeNumber(filepath.Join(dir, "gro_flush_timeout"), t.GROFlushTimeout)
	})
}

func readNumber(path string) (uint64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

func writeNumber(path string, n uint64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // never make a file
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.FormatUint(n, 10))
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// inSysfs calls f with an interface's folder of sysfs. A mounted sysfs shows the
// network namespace that it was mounted in, which need not be the caller's: where
// the interface is not to be seen, or one of another index is, f runs on a thread
// of its own with a sysfs of its own, which needs CAP_SYS_ADMIN.
func inSysfs(name string, ifindex int, f func(dir string) error) error {
	dir := filepath.Join("/sys/class/net", name)
	if n, err := readNumber(filepath.Join(dir, "ifindex")); err == nil && n == uint64(ifindex) && sameNamespace(dir) {
		return f(dir)
	}
	namespace, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer namespace.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its mounts
		done <- func() error {
			if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter network namespace: %w", err)
			}
			if err := mountSysfs(); err != nil {
				return err
			}
			return f(dir)
		}()
	}()
	return <-done
}

// sameNamespace tells whether an interface's folder is of the calling thread's
// network namespace, by the kernel's word for it: only there does the interface
// with that index have that hardware address.
func sameNamespace(dir string) bool {
	address, err := os.ReadFile(filepath.Join(dir, "address"))
	if err != nil {
		return false
	}
	index, err := readNumber(filepath.Join(dir, "ifindex"))
	if err != nil {
		return false
	}
	mac, err := hardwareAddress(int(index))
	return err == nil && mac == strings.TrimSpace(string(address))
}

// mountSysfs gives the calling thread a /sys of its own network namespace.
func mountSysfs() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	return nil
}
