package e2e

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestServiceManager is told of every step, as sd_notify(3) has it for a service
// of Type=notify-reload.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	defer manager.Close()
	b.env = []string{"NOTIFY_SOCKET=" + path}
	hear := func() string {
		t.Helper()
		must(t, manager.SetReadDeadline(time.Now().Add(patience)))
		said := make([]byte, 4096)
		n, err := manager.Read(said)
		must(t, err)
		return string(said[:n])
	}
	config := b.config(loadPolicy(0))
	b.start(config)
	wantTexts(t, "at the start", hear(), "READY=1", "STATUS=")
	for _, text := range []string{config, "not: valid"} {
		before := monotonicMicroseconds()
		b.reload(text)
		said, at := hear(), int64(0)
		_, err := fmt.Sscanf(strings.ReplaceAll(said, "\n", " "), "RELOADING=1 MONOTONIC_USEC=%d", &at)
		if err != nil || at < before || at > monotonicMicroseconds() {
			t.Errorf("of a reload after %d it said %q: %v", before, said, err)
		}
		wantTexts(t, "after a reload", hear(), "READY=1", "STATUS=")
	}
	b.stop()
	wantTexts(t, "at the stop", hear(), "STOPPING=1")
}

func monotonicMicroseconds() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano() / 1000
}
