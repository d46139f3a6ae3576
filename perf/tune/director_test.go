package tune

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
	"github.com/xlvs/xlvs/internal/testnet"
)

const patience = 20 * time.Second

// host is a namespace with a veth of two queues, "eth0", that has NAPI instances
// with and without a director, and the director on it.
type host struct {
	t       *testing.T
	ns      *testnet.Namespace
	index   int
	dir     string
	pin     string
	client  *control.Client
	process *exec.Cmd
	stdin   io.Closer
	log     *buffer
	ended   chan struct{}
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), pin: fmt.Sprintf("/sys/fs/bpf/xlvs-tune-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))}
	var err error
	if h.ns, err = testnet.New(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.ns.Close() })
	h.must(testnet.Pair(testnet.Veth{Namespace: h.ns, Name: "eth0", Queues: 2}, testnet.Veth{Namespace: h.ns, Name: "far0", Queues: 2}))
	h.index, err = h.ns.Index("eth0")
	h.must(err)
	h.must(h.ns.AddAddr("eth0", netip.MustParsePrefix("10.0.0.1/24")))
	h.must(h.ns.Netlink().NeighSet(&netlink.Neigh{ // or a start waits for an answer
		LinkIndex: h.index, State: netlink.NUD_PERMANENT, IP: net.IPv4(10, 0, 0, 11), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 11},
	}))
	h.must(h.ns.SetFeatures("eth0", true, "rx-gro"))
	h.client = control.NewClient(h.socket())
	t.Cleanup(h.cleanup)
	return h
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) socket() string { return filepath.Join(h.dir, "s.sock") }

func (h *host) journal() string { return filepath.Join(h.dir, "s.host.json") }

// write makes a configuration with more text the file.
func (h *host) write(more string) {
	h.t.Helper()
	h.must(os.WriteFile(filepath.Join(h.dir, "x.yaml"), fmt.Appendf(nil, `
interfaces: [{name: eth0}]
tables: {connections: 4096, connections6: 64, templates: 64, templates6: 64, servers: 64}
steering: {pin: %s}
control: {socket: %s}
services:
  - {address: 203.0.113.10, protocol: udp, port: 7, servers: [{address: 10.0.0.11}]}
%s`, h.pin, h.socket(), more), 0o600))
}

// start starts the director and waits until it is ready.
func (h *host) start(more string) {
	h.t.Helper()
	h.write(more)
	exe, err := os.Executable()
	h.must(err)
	h.process = exec.Command(exe, "run", "-c", filepath.Join(h.dir, "x.yaml"))
	h.process.Env = append(os.Environ(), directorEnv+"=1")
	h.log = &buffer{}
	h.process.Stderr = h.log
	stdin, err := h.process.StdinPipe()
	h.must(err)
	h.stdin = stdin
	h.must(h.ns.Do(h.process.Start)) // the child inherits the thread's namespace
	ended := make(chan struct{})
	h.ended = ended
	go func() {
		h.process.Wait() //nolint:errcheck // killed, as a rule
		close(ended)
	}()
	h.eventually("the director is ready", func() error { return h.log.has("msg=ready") })
}

func (h *host) eventually(what string, ask func() error) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("after %v it is not true that %s: %v\n%s", patience, what, err, h.log)
		}
	}
}

// end ends the director by a signal and waits for its end.
func (h *host) end(signal os.Signal) {
	h.t.Helper()
	h.must(h.process.Process.Signal(signal))
	select {
	case <-h.ended:
	case <-time.After(patience):
		h.t.Fatalf("the director does not end:\n%s", h.log)
	}
	h.stdin.Close()
	h.process = nil
}

func (h *host) cleanup() {
	if h.process != nil {
		h.end(syscall.SIGKILL)
	}
	if err := h.ns.Do(func() error { _, err := bpf.Detach(h.pin); return err }); err != nil {
		h.t.Errorf("clean up: %v", err)
	}
}

func (h *host) tuning() *control.Tuning {
	h.t.Helper()
	now, err := h.client.Tuning(h.t.Context())
	h.must(err)
	return now
}

// set is xlvs tune set.
func (h *host) set(trial time.Duration, arguments ...string) error {
	s, err := Parse(arguments)
	if err != nil {
		return err
	}
	_, err = h.client.Tune(h.t.Context(), s, trial)
	return err
}

// timers are those of all NAPI instances, which are to be alike.
func (h *host) timers() (t nic.Timers) {
	h.t.Helper()
	h.must(h.ns.Do(func() error {
		napis, err := nic.ReadNAPIs(h.index)
		if err != nil || len(napis) != 2 {
			return fmt.Errorf("%d instances: %w", len(napis), err)
		}
		if t = *napis[0].Timers; t != *napis[1].Timers {
			return fmt.Errorf("%v and %v", t, *napis[1].Timers)
		}
		return nil
	}))
	return t
}

func (h *host) wantTimers(when string, want nic.Timers) {
	h.t.Helper()
	if got := h.timers(); got != want {
		h.t.Errorf("%s: %v, want %v\n%s", when, got, want, h.log)
	}
}

// socketOption reads an option of all AF_XDP sockets of the director, which are to
// have the same.
func (h *host) socketOption(option int) int {
	h.t.Helper()
	process, err := unix.PidfdOpen(h.process.Process.Pid, 0)
	h.must(err)
	defer unix.Close(process)
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.process.Process.Pid))
	h.must(err)
	found := map[int]int{}
	for _, e := range entries {
		n, _ := strconv.Atoi(e.Name())
		fd, err := unix.PidfdGetfd(process, n, 0)
		if err != nil {
			continue // closed since
		}
		if domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil && domain == unix.AF_XDP {
			v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
			h.must(err)
			found[v]++
		}
		unix.Close(fd)
	}
	for v, n := range found {
		if n == 2 {
			return v
		}
	}
	h.t.Fatalf("values of option %d: %v, want two sockets with one", option, found)
	return 0
}

// busy is the processor time of all threads of the director.
func (h *host) busy() (sum time.Duration) {
	h.t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", h.process.Process.Pid))
	h.must(err)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		h.must(err)
		ns, err := strconv.ParseInt(strings.Fields(string(data))[0], 10, 64)
		h.must(err)
		sum += time.Duration(ns)
	}
	return sum
}

// buffer is what a process writes.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *buffer) has(text string) error {
	if !strings.Contains(b.String(), text) {
		return fmt.Errorf("the log has no %q", text)
	}
	return nil
}
