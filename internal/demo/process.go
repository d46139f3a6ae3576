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

	"github.com/xlvs/xlvs/internal/testnet"
)

// start starts a program inside a role's namespace. It has a session of its own, so
// that no signal of the terminal ends it before the demo has looked after it.
func (t *topology) start(role string, cmd *exec.Cmd) (*testnet.Process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return t.ns(role).Start(cmd)
}

// hostProcess is a process that runs [Serve].
type hostProcess struct {
	*testnet.Process
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
	p, err := t.start(role, cmd)
	ready.Close()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { out.Close() })
	defer stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if line == lineReady+"\n" {
		return &hostProcess{Process: p, in: in}, nil
	}
	p.Kill()
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
