package links

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/rtnl"
)

// Watcher follows the host. Make one with Watch.
type Watcher struct {
	// Constant.
	log     *slog.Logger
	monitor *rtnl.Monitor
	handle  *netlink.Handle
	news    chan struct{} // capacity 1
	changed chan struct{} // capacity 1
	stop    chan struct{}
	done    chan struct{}
	close   sync.Once

	host atomic.Pointer[Host]
}

const (
	receiveBuffer = 1 << 20
	// audit is how often everything is read anew even if nothing was heard.
	audit = time.Minute
	// retry is when a reading that failed is tried again.
	retry = time.Second
)

// Watch follows the current network namespace. What it knows is complete when it returns.
// Close the Watcher.
func Watch(log *slog.Logger) (*Watcher, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	w := &Watcher{
		log: log, handle: handle,
		news: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	w.monitor, err = rtnl.Follow(w, receiveBuffer,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		handle.Close()
		return nil, err
	}
	first, err := read(handle)
	if err != nil {
		w.monitor.Close()
		handle.Close()
		return nil, err
	}
	w.host.Store(first)
	go w.run()
	return w, nil
}

// Host is what is known now.
func (w *Watcher) Host() *Host { return w.host.Load() }

// Changed becomes readable after Host has changed, once for many changes. It is never closed.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Close stops following. Host stays as it is. More than one call is harmless.
func (w *Watcher) Close() error {
	w.close.Do(func() {
		w.monitor.Close()
		close(w.stop)
		<-w.done
		w.handle.Close()
	})
	return nil
}

// Messages implements rtnl.Handler.
func (w *Watcher) Messages([]syscall.NetlinkMessage) { notify(w.news) }

// Lost implements rtnl.Handler: everything is read anew in any case.
func (w *Watcher) Lost() { notify(w.news) }

// notify makes a channel of capacity 1 readable.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// The shortest and the longest time between two readings. The first is at once: frames to a
// new MAC address of ours are not taken until it is known.
const (
	minPause = 2 * time.Millisecond
	maxPause = 500 * time.Millisecond
)

func (w *Watcher) run() {
	defer close(w.done)
	timer := time.NewTimer(audit)
	defer timer.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-w.news:
		case <-timer.C:
		}
		start := time.Now()
		timer.Reset(w.update())
		// A storm of events takes no more than a tenth of a CPU.
		select {
		case <-w.stop:
			return
		case <-time.After(min(max(minPause, 9*time.Since(start)), maxPause)):
		}
	}
}

// update reads everything and returns when to do so again without news.
func (w *Watcher) update() time.Duration {
	host, err := read(w.handle)
	if err != nil {
		w.log.Warn("reading interfaces and addresses; trying again", "error", err, "after", retry)
		return retry
	}
	if !host.equal(w.host.Load()) {
		w.host.Store(host)
		notify(w.changed)
	}
	return audit
}
