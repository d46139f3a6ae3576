package vip

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// text is a log that a test reads while it is written.
type text struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *text) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *text) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (b *bed) watch(log *slog.Logger) *Watcher {
	b.t.Helper()
	var w *Watcher
	must(b.t, b.director.Do(func() (err error) {
		w, err = Watch(log)
		return err
	}))
	b.t.Cleanup(func() { w.Close() })
	return w
}

// waitStatus waits until Lookup says want, woken by Changed alone.
func waitStatus(t *testing.T, w *Watcher, ip netip.Addr, want Status) {
	t.Helper()
	deadline := time.After(patience)
	for {
		got := w.Lookup(ip)
		if got == want {
			return
		}
		select {
		case <-w.Changed():
		case <-deadline:
			t.Fatalf("after %v: %v, want %v", patience, got, want)
		}
	}
}

// keepalived is played by plain address changes.
func TestWatcherFollowsOthers(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	var log text
	w := b.watch(slog.New(slog.NewTextHandler(&log, nil)))
	must(t, w.Want(vips))
	if s := w.Lookup(vip4); s.Present() {
		t.Errorf("%v", s)
	}
	absent := "virtual address 203.0.113.10 is not on this host: clients' ARP is not answered here (standby?)"
	if got := log.String(); !strings.Contains(got, absent) {
		t.Errorf("the log does not say %q:\n%s", absent, got)
	}
	for range 3 {
		for _, ip := range vips {
			must(t, b.director.AddAddr("eth0", hostPrefix(ip)))
			waitStatus(t, w, ip, Status{Address: ip, Interface: "eth0"})
		}
		must(t, b.director.AddAddr("lo", hostPrefix(vip4)))
		must(t, b.director.DeleteAddr("eth0", hostPrefix(vip4)))
		waitStatus(t, w, vip4, Status{Address: vip4, Interface: "lo"})
		must(t, b.director.DeleteAddr("lo", hostPrefix(vip4)))
		waitStatus(t, w, vip4, Status{Address: vip4})
		must(t, b.director.DeleteAddr("eth0", hostPrefix(vip6)))
		waitStatus(t, w, vip6, Status{Address: vip6})
	}
	if got, want := w.Lookup(vip6).String(), "virtual address 2001:db8::10 is not on this host: "+
		"clients' neighbour discovery is not answered here (standby?)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWatcherSeesDuplicates(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	must(t, b.client.AddAddr("eth0", hostPrefix(vip6)))
	must(t, b.director.Sysctl("net.ipv6.conf.eth0.accept_dad", "1"))
	w := b.watch(nil)
	must(t, w.Want(vips))
	link, err := b.director.Netlink().LinkByName("eth0")
	must(t, err)
	addr, err := netlink.ParseAddr(hostPrefix(vip6).String())
	must(t, err)
	must(t, b.director.Netlink().AddrAdd(link, addr)) // with duplicate address detection
	waitStatus(t, w, vip6, Status{Address: vip6, Interface: "eth0", Duplicate: true})
	if s := w.Lookup(vip6); s.Present() || !strings.Contains(s.String(), "another host uses it") {
		t.Errorf("%q", s)
	}
}
