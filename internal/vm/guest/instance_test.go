//go:build vmtest

package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/testnet"
)

// program is the real xlvs, static, in the guest's root folder.
const program = "/xlvs"

// instance is a running "xlvs run" in a namespace. It listens to what the program
// tells its service manager (sd_notify), so that a start and a reload are known
// to be done.
type instance struct {
	ns      *testnet.Namespace
	dir     string
	control *control.Client
	notify  *net.UnixConn
	process *exec.Cmd
	exited  chan struct{}
	failure error // valid once exited is closed
}

// newInstance prepares a folder for an instance; start starts it.
func newInstance(t testing.TB, ns *testnet.Namespace) *instance {
	t.Helper()
	x := &instance{ns: ns, dir: t.TempDir()}
	x.control = control.NewClient(x.path("socket"))
	var err error
	x.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: x.path("notify"), Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() {
		x.stop()
		x.notify.Close()
	})
	return x
}

func (x *instance) path(name string) string { return filepath.Join(x.dir, name) }

// configure writes the configuration file: what only the instance knows, and the rest.
func (x *instance) configure(t testing.TB, head, rest string) {
	t.Helper()
	text := fmt.Sprintf("%s\nsteering: {pin: /sys/fs/bpf/%s}\ncontrol: {socket: %s}\n"+
		"tables: {connections: 16384, connections6: 16384, templates: 4096, templates6: 4096, servers: 1024}\n%s",
		head, filepath.Base(filepath.Dir(x.dir)), x.path("socket"), rest)
	must(t, os.WriteFile(x.path("xlvs.yaml"), []byte(text), 0o600))
}

// start starts the program and waits until it is ready.
func (x *instance) start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(x.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	defer log.Close()
	x.process = exec.Command("taskset", "3", program, "run", "-c", x.path("xlvs.yaml"))
	x.process.Env = append(os.Environ(), "NOTIFY_SOCKET="+x.path("notify"))
	x.process.Stdout, x.process.Stderr = log, log
	must(t, x.ns.Do(x.process.Start))
	exited := make(chan struct{})
	x.exited = exited
	go func(p *exec.Cmd) {
		x.failure = p.Wait()
		close(exited)
	}(x.process)
	x.ready(t)
}

// ready waits until the program tells that it is.
func (x *instance) ready(t testing.TB) {
	t.Helper()
	message := make([]byte, 4096)
	for deadline := time.Now().Add(patience); ; {
		select {
		case <-x.exited:
			t.Fatalf("xlvs has ended: %v\n%s", x.failure, x.log(t))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("xlvs is not ready after %v\n%s", patience, x.log(t))
		}
		must(t, x.notify.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		n, err := x.notify.Read(message)
		if err == nil && strings.HasPrefix(string(message[:n]), "READY=1") {
			return
		}
	}
}

// reload has the program read its configuration again and waits until it acts by it.
func (x *instance) reload(t testing.TB) {
	t.Helper()
	must(t, x.process.Process.Signal(syscall.SIGHUP))
	x.ready(t)
	if log := x.log(t); strings.Contains(log, "refused") {
		t.Fatalf("reload refused:\n%s", log)
	}
}

// services asks for the services over the control socket.
func (x *instance) services(t testing.TB) []control.ServiceStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	listing, err := x.control.Services(ctx)
	must(t, err)
	return listing.Services
}

// reachable waits until the program knows the way to all real servers: after some
// patience it goes on without, as a server may be down.
func (x *instance) reachable(t testing.TB) {
	t.Helper()
	began := time.Now()
	missing := ""
	await(t, "the next hops of all real servers", func() bool {
		for _, s := range x.services(t) {
			for _, r := range s.Servers {
				if !r.Reachable {
					missing = fmt.Sprintf("%v: %s", r.Address, r.Neighbour)
					return false
				}
			}
		}
		return true
	})
	if missing != "" {
		t.Logf("real servers were reachable only after %v more: %s", time.Since(began).Round(time.Millisecond), missing)
	}
}

// kill ends the program as a crash would.
func (x *instance) kill() {
	x.process.Process.Kill()
	<-x.exited
}

// stop ends the program as a service manager would. A second time is fine.
func (x *instance) stop() error {
	if x.process == nil {
		return nil
	}
	x.process.Process.Signal(syscall.SIGTERM) // an error is that it has ended already
	select {
	case <-x.exited:
		return x.failure
	case <-time.After(patience):
		x.kill()
		return errors.New("xlvs did not stop on SIGTERM")
	}
}

func (x *instance) log(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(x.path("log"))
	must(t, err)
	return string(text)
}

func (x *instance) status(t testing.TB) *control.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := x.control.Status(ctx)
	must(t, err)
	return s
}

// view asks for connections, templates and services over the control socket.
func (x *instance) view(t testing.TB) view {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	v := view{loads: map[string]load{}}
	must(t, x.control.Connections(ctx, func(c *control.Connection) error {
		v.connections = append(v.connections, connection{
			protocol: c.Protocol, client: c.Source, virtual: c.Virtual, server: serverOf(c.Destination.Addr()),
			state: c.State, expires: c.Expires,
		})
		return nil
	}))
	must(t, x.control.Templates(ctx, func(c *control.Template) error {
		of := c.Protocol + " " + c.Virtual.String()
		if c.Mark != 0 {
			of = fmt.Sprintf("FWM %d", c.Mark)
		}
		v.templates = append(v.templates, template{
			of: of, client: c.Client, server: serverOf(c.Destination.Addr()), assured: c.Assured, expires: c.Expires,
		})
		return nil
	}))
	for _, s := range x.services(t) {
		name := fmt.Sprintf("FWM %d", s.Mark)
		if s.Mark == 0 {
			name = s.Protocol + " " + netip.AddrPortFrom(s.Address, s.Port).String()
		}
		for _, r := range s.Servers {
			v.loads[fmt.Sprintf("%s server %d", name, serverOf(r.Address))] = load{int(r.Active), int(r.Inactive)}
		}
	}
	return v
}
