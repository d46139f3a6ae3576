package testnet

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestProcessIsInItsNamespace has the child tell which one it is in.
func TestProcessIsInItsNamespace(t *testing.T) {
	ns := Fresh(t)
	must(t, Pair(Veth{Namespace: ns, Name: "here0"}, Veth{Namespace: ns, Name: "here1"}))
	var out bytes.Buffer
	cmd := exec.Command("cat", "/proc/net/dev")
	cmd.Stdout = &out
	p, err := ns.Start(cmd)
	must(t, err)
	must(t, p.Wait())
	if p.Running() || !strings.Contains(out.String(), "here0") {
		t.Errorf("running %v; it sees\n%s", p.Running(), &out)
	}
	must(t, p.Stop(time.Minute)) // it has ended: no error
	if err := p.Signal(syscall.SIGHUP); err == nil {
		t.Error("a signal reached a process that is gone")
	}
}

func TestProcessIsStopped(t *testing.T) {
	ns := Fresh(t)
	for name, c := range map[string]struct {
		script string
		want   string
	}{
		"clean":     {"trap 'exit 0' TERM; echo ready; while :; do read x; done", ""},
		"a failure": {"trap 'exit 3' TERM; echo ready; while :; do read x; done", "exit status 3"},
		"deaf":      {"trap '' TERM; echo ready; while :; do read x; done", "did not stop within"},
	} {
		cmd := exec.Command("sh", "-c", c.script)
		in, err := cmd.StdinPipe() // stays open: the script waits on it
		must(t, err)
		ready := make(chan struct{}, 1)
		cmd.Stdout = writerFunc(func(b []byte) (int, error) { ready <- struct{}{}; return len(b), nil })
		p, err := ns.Start(cmd)
		must(t, err)
		t.Cleanup(p.Kill)
		<-ready
		if !p.Running() {
			t.Errorf("%s: it has ended", name)
		}
		patience := 10 * time.Second
		if name == "deaf" {
			patience = 50 * time.Millisecond
		}
		err = p.Stop(patience)
		if got := ""; err != nil {
			got = err.Error()
			if c.want == "" || !strings.Contains(got, c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		} else if c.want != "" {
			t.Errorf("%s: no error, want %q", name, c.want)
		}
		if p.Running() {
			t.Errorf("%s: it still runs", name)
		}
		in.Close()
	}
}

func TestProcessThatIsNotThere(t *testing.T) {
	_, err := Fresh(t).Start(exec.Command("/nowhere/program"))
	if !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), "/nowhere/program") {
		t.Error(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
