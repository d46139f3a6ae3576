package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/testnet"
)

// patience is how long any condition may take to come true. It is long: the
// machine may be busy, and only a failing test waits for its end.
const patience = 20 * time.Second

// director is a director under test: what it keeps on the host, and its
// process if it runs.
type director struct {
	t         testing.TB
	namespace *testnet.Namespace
	dir       string // of configuration and control socket
	pin       string
	env       []string // more of it
	control   *control.Client

	process *testnet.Process
	stdin   io.Closer
	log     *logbook
}

var pins struct {
	sync.Mutex
	n int
}

// newDirector prepares a director in a namespace; start starts it.
func newDirector(t testing.TB, ns *testnet.Namespace) *director {
	pins.Lock()
	pins.n++
	n := pins.n
	pins.Unlock()
	d := &director{
		t: t, namespace: ns, dir: t.TempDir(),
		pin: fmt.Sprintf("/sys/fs/bpf/xlvs-e2e-%d-%d", os.Getpid(), n),
	}
	d.control = control.NewClient(d.socket())
	t.Cleanup(d.cleanup)
	return d
}

func (d *director) socket() string { return filepath.Join(d.dir, "xlvs.sock") }
func (d *director) file() string   { return filepath.Join(d.dir, "xlvs.yaml") }

// cleanup ends the process and takes away what a killed one left.
func (d *director) cleanup() {
	if d.running() {
		d.kill()
	}
	if d.t.Failed() && d.log != nil {
		d.t.Logf("the director's log:\n%s", d.log)
	}
	if err := d.namespace.Do(func() error { _, err := bpf.Detach(d.pin); return err }); err != nil {
		d.t.Errorf("clean up: %v", err)
	}
}

// write makes text the configuration file.
func (d *director) write(text string) {
	d.t.Helper()
	must(d.t, os.WriteFile(d.file(), []byte(text), 0o600))
}

// launch starts the process and does not wait for it.
func (d *director) launch(options ...string) {
	d.t.Helper()
	exe, err := os.Executable()
	must(d.t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), directorEnv+"="+d.file(), optionsEnv+"="+strings.Join(options, ","),
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // or each stop takes a second with the race detector
	cmd.Env = append(cmd.Env, d.env...)
	stdin, err := cmd.StdinPipe()
	must(d.t, err)
	d.stdin, d.log = stdin, &logbook{}
	cmd.Stderr = d.log
	d.process, err = d.namespace.Start(cmd)
	must(d.t, err)
}

// start starts the director with a configuration and waits until it is ready
// and has found all real servers.
func (d *director) start(text string, options ...string) {
	d.t.Helper()
	d.write(text)
	d.launch(options...)
	d.t.Logf("director %d", d.process.ID())
	eventually(d.t, "the director is ready", func() error {
		if !d.running() {
			d.t.Fatalf("the director ended: %v\n%s", d.process.Wait(), d.log)
		}
		return d.log.has("msg=ready")
	})
	eventually(d.t, "all real servers are found", func() error {
		for _, s := range d.services() {
			for _, real := range s.Servers {
				if !real.Reachable {
					return errors.New(real.Neighbour)
				}
			}
		}
		return nil
	})
}

// refused starts the director and returns what it says when it refuses to.
func (d *director) refused(text string, options ...string) string {
	d.t.Helper()
	d.write(text)
	d.launch(options...)
	err := d.waitEnd()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		d.t.Fatalf("the director ended with %v, not with exit status 1:\n%s", err, d.log)
	}
	return d.log.last()
}

func (d *director) running() bool { return d.process != nil && d.process.Running() }

// waitEnd waits until the process has ended, and returns how.
func (d *director) waitEnd() error {
	d.t.Helper()
	select {
	case <-d.process.Ended():
	case <-time.After(patience):
		d.process.Signal(syscall.SIGQUIT) // it prints where its goroutines are
		d.process.Wait()
		d.t.Fatalf("the director did not end:\n%s", d.log)
	}
	d.stdin.Close()
	if d.log.count("DATA RACE") > 0 {
		d.t.Errorf("the director has a data race:\n%s", d.log)
	}
	return d.process.Wait()
}

// stop stops the director cleanly.
func (d *director) stop() {
	d.t.Helper()
	must(d.t, d.process.Signal(syscall.SIGTERM))
	if err := d.waitEnd(); err != nil {
		d.t.Fatalf("the director stopped with %v:\n%s", err, d.log)
	}
}

// kill kills the director at once.
func (d *director) kill() {
	d.t.Helper()
	d.process.Kill()
	d.waitEnd() // how it ended is known
}

// reload has the running director read another configuration and waits until
// it has taken or refused it, which it returns.
func (d *director) reload(text string) (taken bool) {
	d.t.Helper()
	const takenLine, refusedLine = "msg=reloaded", "reload refused"
	took, refused := d.log.count(takenLine), d.log.count(refusedLine)
	d.write(text)
	must(d.t, d.process.Signal(syscall.SIGHUP))
	eventually(d.t, "the reload is done", func() error {
		if d.log.count(takenLine) == took && d.log.count(refusedLine) == refused {
			return errors.New("no word of it in the log")
		}
		return nil
	})
	return d.log.count(takenLine) > took
}

// status asks the control socket.
func (d *director) status() *control.Status {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	s, err := d.control.Status(ctx)
	must(d.t, err)
	return s
}

// services asks the control socket.
func (d *director) services() []control.ServiceStatus {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	l, err := d.control.Services(ctx)
	must(d.t, err)
	return l.Services
}

// connections asks the control socket; the key is the client.
func (d *director) connections() map[string]control.Connection {
	d.t.Helper()
	all := map[string]control.Connection{}
	must(d.t, d.control.Connections(d.t.Context(), func(c *control.Connection) error {
		all[fmt.Sprint(c.Protocol, " ", c.Source, " ", c.Virtual)] = *c
		return nil
	}))
	return all
}

// templates asks the control socket; the key is mark or service, and client.
func (d *director) templates() map[string]control.Template {
	d.t.Helper()
	all := map[string]control.Template{}
	must(d.t, d.control.Templates(d.t.Context(), func(p *control.Template) error {
		all[fmt.Sprint(p.Mark, " ", p.Protocol, " ", p.Virtual, " ", p.Client)] = *p
		return nil
	}))
	return all
}

// descriptors counts the open files of the process.
func (d *director) descriptors() int {
	d.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.process.ID()))
	must(d.t, err)
	return len(entries)
}

// logbook is what a director has written to standard error so far.
type logbook struct {
	mu    sync.Mutex
	lines []string
	rest  string // of a line that is not whole yet
}

// Write takes what the director writes.
func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(l.rest+string(p), "\n")
	l.rest = lines[len(lines)-1]
	l.lines = append(l.lines, lines[:len(lines)-1]...)
	return len(p), nil
}

// count counts the lines with a text.
func (l *logbook) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// has is an error unless a line has all the texts.
func (l *logbook) has(texts ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
lines:
	for _, line := range l.lines {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue lines
			}
		}
		return nil
	}
	return fmt.Errorf("no line of the log has %q", texts)
}

// last is the last lines, from the one that the command would end with.
func (l *logbook) last() string {
	all := l.String()
	if i := strings.LastIndex(all, "\nxlvs: "); i >= 0 {
		return all[i+1:] + "\n"
	}
	return strings.TrimPrefix(all, "xlvs: ") + "\n"
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually asks until the answer is nil, and fails the test with the last
// answer when patience ends.
func eventually(t testing.TB, what string, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is not true that %s: %v", patience, what, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
