package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/xlvs/xlvs/internal/testnet"
)

// process is a child in a namespace. It has a session of its own, so that no
// signal of the terminal ends it before the demo has looked after it.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed once the process is gone; err is set before
	err    error
}

// startProcess starts a program inside a namespace. The child inherits the
// namespace from the thread that forks.
func startProcess(ns *testnet.Namespace, cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := ns.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(cmd.Args, " "), err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// running says whether the process has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill ends the process at once.
func (p *process) kill() {
	p.signal(os.Kill) // an error is that it has ended already
	<-p.exited
}

// stop asks the process to end, and ends it after patience.
func (p *process) stop(patience time.Duration) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return nil // it has ended already
	}
	select {
	case <-p.exited:
		return p.err
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("%s did not stop within %v of SIGTERM", p.cmd.Path, patience)
	}
}

// hostProcess is a process that runs [Serve].
type hostProcess struct {
	*process
	in io.WriteCloser
}

// startHost starts Serve for a role in its namespace and waits until it is ready.
func startHost(ctx context.Context, t *topology, role, executable, dir string) (*hostProcess, error) {
	cmd := exec.Command(executable, HostCommand, role, dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, ready, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	log, err := os.Create(logFile(dir, role))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = ready, log
	p, err := startProcess(t.ns(role), cmd)
	ready.Close()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { out.Close() })
	defer stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if line == lineReady+"\n" {
		return &hostProcess{process: p, in: in}, nil
	}
	p.kill()
	return nil, fmt.Errorf("%s is not ready: %w%s", role, errors.Join(ctx.Err(), err), logTail(dir, role))
}

// keep lets the host go on after the demo has gone.
func (h *hostProcess) keep() error {
	_, err := io.WriteString(h.in, lineKeep+"\n")
	return err
}

// logFile is where a role's process writes its log.
func logFile(dir, role string) string { return filepath.Join(dir, role+".log") }

// logTail is the last lines of a role's log, for an error message.
func logTail(dir, role string) string {
	const most = 10
	text, err := os.ReadFile(logFile(dir, role))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "\n    " + strings.Join(lines[max(0, len(lines)-most):], "\n    ")
}
