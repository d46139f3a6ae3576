package bpf

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/cilium/ebpf/link"
)

// Variables that make the test binary a director that is there to be killed.
const (
	childRole      = "XLVS_BPF_TEST_ROLE"      // pinned, ephemeral or foreign
	childPins      = "XLVS_BPF_TEST_PINS"      // the pin directory
	childInterface = "XLVS_BPF_TEST_INTERFACE" // the index
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := child(role); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child attaches to an interface, says so, and waits for its end.
func child(role string) error {
	index, err := strconv.Atoi(os.Getenv(childInterface))
	if err != nil {
		return err
	}
	if role == "foreign" {
		program, err := passProgram("stranger")
		if err != nil {
			return err
		}
		l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: index, Flags: link.XDPGenericMode})
		if err != nil {
			return err
		}
		defer l.Close()
	} else {
		var pins *Pins
		if dir := os.Getenv(childPins); dir != "" {
			if pins, err = OpenPins(dir); err != nil {
				return err
			}
			defer pins.Close()
		}
		s, err := Open(Options{Pins: pins})
		if err != nil {
			return err
		}
		defer s.Close()
		if err := s.Update(nil, web()); err != nil {
			return err
		}
		if _, err := s.Attach(index, Generic); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startChild starts one in the namespace of the thread and waits until it is attached.
func startChild(t *testing.T, role, pins string, ifindex int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childRole+"="+role, childPins+"="+pins, childInterface+"="+strconv.Itoa(ifindex))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		kill(t, cmd)
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("%s director: %q, %v", role, line, err)
	}
	return cmd
}

// kill sends SIGKILL and waits for the end.
func kill(t *testing.T, cmd *exec.Cmd) {
	if cmd.ProcessState != nil {
		return
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
}
