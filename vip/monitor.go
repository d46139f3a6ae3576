package vip

import (
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/rtnl"
)

// events turns whatever happens to links and addresses, and the loss of events
// too, into one signal: they are few enough to be listed anew each time. Only
// a link that went down is remembered, as it may be up again by then.
type events struct {
	wake chan struct{} // capacity 1

	mu   sync.Mutex
	down map[int]bool // by interface index; guarded by mu
	lost bool         // any link may have been down; guarded by mu
}

func newEvents() *events {
	return &events{wake: make(chan struct{}, 1), down: make(map[int]bool)}
}

// Messages implements rtnl.Handler.
func (e *events) Messages(messages []syscall.NetlinkMessage) {
	e.mu.Lock()
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg {
			continue
		}
		if l, err := netlink.LinkDeserialize(&unix.NlMsghdr{}, m.Data); err == nil && !running(l.Attrs()) {
			e.down[l.Attrs().Index] = true
		}
	}
	e.mu.Unlock()
	notify(e.wake)
}

// running reports whether an interface is up and has carrier.
func running(l *netlink.LinkAttrs) bool {
	return l.Flags&net.FlagUp != 0 && l.RawFlags&unix.IFF_RUNNING != 0
}

// Lost implements rtnl.Handler.
func (e *events) Lost() {
	e.mu.Lock()
	e.lost = true
	e.mu.Unlock()
	notify(e.wake)
}

// wentDown returns the links that were down since it was last called, as a
// function of the interface index.
func (e *events) wentDown() func(link int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	down, lost := e.down, e.lost
	e.down, e.lost = make(map[int]bool), false
	return func(link int) bool { return lost || down[link] }
}

// receiveBuffer is small, as an overflow costs little here.
const receiveBuffer = 64 << 10

func (e *events) follow() (*rtnl.Monitor, error) {
	return rtnl.Follow(e, receiveBuffer, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
}

// settling is how long events are gathered before they are acted on, so that a
// burst (an interface that comes and goes with a hundred addresses) is one.
const settling = 20 * time.Millisecond

// settle gathers more events after one. It is false when stop is closed.
func settle(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	case <-time.After(settling):
		return true
	}
}

// notify makes a channel of capacity 1 readable.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
