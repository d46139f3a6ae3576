package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/testnet"
)

// site is an interface and the namespace that it is in.
type site struct {
	ns     *testnet.Namespace // nil is the one of the process
	device string
	index  int
	queues int
	mac    net.HardwareAddr
}

// namespaceSite is an interface in a namespace.
func namespaceSite(ns *testnet.Namespace, device string, queues int) (*site, error) {
	index, err := ns.Index(device)
	if err != nil {
		return nil, err
	}
	mac, err := ns.MAC(device)
	if err != nil {
		return nil, err
	}
	return &site{ns: ns, device: device, index: index, queues: queues, mac: mac}, nil
}

// hostSite is an interface of the process's own namespace.
func hostSite(device string, queues int) (*site, error) {
	i, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", device, err)
	}
	return &site{device: device, index: i.Index, queues: queues, mac: i.HardwareAddr}, nil
}

// do runs f on a thread of its own in the site's namespace. The thread ends with f.
func (s *site) do(f func() error) error {
	if s.ns != nil {
		return s.ns.Do(f)
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: f may have changed the thread
		done <- f()
	}()
	return <-done
}

// attach attaches a program to the interface until the link is closed.
func (s *site) attach(p *ebpf.Program, mode link.XDPAttachFlags) (l link.Link, err error) {
	err = s.do(func() error {
		l, err = link.AttachXDP(link.XDPOptions{Program: p, Interface: s.index, Flags: mode})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("attach XDP program to %s: %w", s.device, err)
	}
	return l, nil
}

// command runs a program in the namespace to its end, with text on its standard input.
func (s *site) command(ctx context.Context, text, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(text)
	var output []byte
	err := s.do(func() (err error) {
		output, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

// child is a process in a site's namespace that ends with this one.
type child struct {
	cmd    *exec.Cmd
	log    *tail
	exited chan struct{} // closed when it has ended; err is set before
	err    error
}

// start starts a program on the given CPUs, ahead of others there.
func (s *site) start(cmd *exec.Cmd, cpus []int) (*child, error) {
	c := &child{cmd: cmd, log: &tail{}, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.WaitDelay = time.Second // for a grandchild that holds its output open
	// A session of its own: the terminal's Ctrl-C is for us, who then stop it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	// The child inherits the thread's namespace, CPUs and priority, and is killed when
	// the thread ends. So the thread stays until the child has ended.
	go s.do(func() error {
		err := inherit(cpus)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err != nil {
			return err
		}
		raiseSession(cmd.Process.Pid) // its own, with which it goes
		c.err = cmd.Wait()
		close(c.exited)
		return nil
	})
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(cmd.Args, " "), err)
	}
	return c, nil
}

// inherit prepares a thread for what its child is to have of it.
func inherit(cpus []int) error {
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, highPriority)
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to cpus %v: %w", cpus, err)
	}
	return nil
}

// ended tells whether the child has ended of its own accord, and how.
func (c *child) ended() error {
	select {
	case <-c.exited:
		return fmt.Errorf("%s ended: %w\n%s", c.cmd.Args[0], errors.Join(c.err, errEnded), c.log)
	default:
		return nil
	}
}

var errEnded = errors.New("it was to run until it is stopped")

// stop asks the child to end, and ends it if it does not within patience.
func (c *child) stop() error {
	const patience = 5 * time.Second
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", c.cmd.Args[0], err)
	}
	select {
	case <-c.exited:
		return nil
	case <-time.After(patience):
		_ = c.cmd.Process.Kill()
		<-c.exited
		return fmt.Errorf("%s did not stop within %v", c.cmd.Args[0], patience)
	}
}

// tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// String is the last lines.
func (t *tail) String() string {
	const most = 8
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
