package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/xlvs/xlvs/internal/testnet"
)

// defaultName is the demo's name: what its namespaces' names begin with.
const defaultName = "xlvs-demo"

// claim makes this process the only demo of a name until it is released. The
// claim is an abstract socket, which goes with the process however it ends.
func claim(name string) (release io.Closer, err error) {
	l, err := net.Listen("unix", "@"+name)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("another %s is running: wait for its end", name)
	}
	return l, err
}

// Clean removes what a demo has left: its processes, namespaces, pinned
// steering and files. It writes what it removed to w.
func Clean(w io.Writer) error {
	release, err := claim(defaultName)
	if err != nil {
		return err
	}
	defer release.Close()
	removed, err := clean(defaultName)
	if err == nil && !removed {
		fmt.Fprintln(w, "there is nothing to remove")
	}
	if removed {
		fmt.Fprintln(w, "removed the namespaces, processes and files of an earlier demo")
	}
	return err
}

// clean removes what a demo of a name has left, and says whether there was anything.
func clean(name string) (removed bool, err error) {
	p := paths{name}
	var errs []error
	for _, role := range roles() {
		path := filepath.Join("/run/netns", namespaceName(name, role))
		if _, err := os.Stat(path); err != nil {
			continue
		}
		removed = true
		endProcesses(path, p)
		errs = append(errs, testnet.Remove(namespaceName(name, role)))
	}
	for _, path := range []string{p.dir(), p.pin()} {
		if _, err := os.Stat(path); err == nil {
			removed = true
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return removed, errors.Join(errs...)
}

// endProcesses ends the demo's own processes in a namespace, and nobody's shell.
func endProcesses(namespace string, p paths) {
	for _, pid := range processesIn(namespace) {
		if !isOurs(pid, p) {
			continue
		}
		process, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		process.Signal(syscall.SIGTERM)
		deadline := time.Now().Add(stopTimeout)
		for process.Signal(syscall.Signal(0)) == nil {
			if time.Now().After(deadline) {
				process.Kill()
				break
			}
			time.Sleep(pollInterval)
		}
	}
}

// isOurs says whether a process is a director or a host that a demo started.
func isOurs(pid int, p paths) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	args := bytes.Split(bytes.TrimSuffix(text, []byte{0}), []byte{0})
	of := func(path string) bool {
		return slices.ContainsFunc(args, func(arg []byte) bool { return string(arg) == path })
	}
	return of(p.config()) || of(p.dir())
}

// processesIn is the processes in a network namespace, as ip-netns(8) finds them.
func processesIn(namespace string) []int {
	var self syscall.Stat_t
	if err := syscall.Stat(namespace, &self); err != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		var theirs syscall.Stat_t
		err = syscall.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &theirs)
		if err == nil && theirs.Ino == self.Ino && theirs.Dev == self.Dev {
			found = append(found, pid)
		}
	}
	return found
}
