package vip

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/rtnl"
)

// wake turns whatever happens to links and addresses, and the loss of events
// too, into one signal: they are few enough to be listed anew each time.
type wake chan struct{} // capacity 1

// Messages implements rtnl.Handler.
func (w wake) Messages([]syscall.NetlinkMessage) { w.Lost() }

// Lost implements rtnl.Handler.
func (w wake) Lost() { notify(w) }

// notify makes a channel of capacity 1 readable.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// receiveBuffer is small, as an overflow costs nothing here.
const receiveBuffer = 64 << 10

func (w wake) follow() (*rtnl.Monitor, error) {
	return rtnl.Follow(w, receiveBuffer, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
}

// wait waits for a change, and gathers more. It is false when stop is closed.
func (w wake) wait(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	case <-w:
		return w.settle(stop)
	}
}

// settle gathers more changes after one. It is false when stop is closed.
func (w wake) settle(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	case <-time.After(settle):
		return true
	}
}

// settle is how long events are gathered before they are acted on, so that a
// burst (an interface that comes and goes with a hundred addresses) is one.
const settle = 20 * time.Millisecond
