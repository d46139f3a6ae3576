package testnet

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Process is a child in a namespace. Its methods may be called at any time, from
// any goroutine.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed once it has ended; err is set before
	err   error
}

// Start starts a program inside the namespace, which the child inherits from the
// thread that forks.
func (ns *Namespace) Start(cmd *exec.Cmd) (*Process, error) {
	if err := ns.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(cmd.Args, " "), err)
	}
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// ID is the process's number.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Signal sends a signal. It is an error if the process has ended.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Ended is closed once the process has ended and all that it wrote is read.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Running tells whether it has not.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Wait waits for the end and returns how it ended, as exec.Cmd.Wait does.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// Kill ends the process at once, and returns when it has.
func (p *Process) Kill() {
	_ = p.Signal(os.Kill) // an error is that it has ended already
	<-p.ended
}

// Stop asks the process to end, and kills it if it does not within patience, which
// is an error. So is how it ended, unless it had before.
func (p *Process) Stop(patience time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return nil // it has ended already
	}
	select {
	case <-p.ended:
		return p.err
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("%s did not stop within %v of SIGTERM", p.cmd.Path, patience)
	}
}
