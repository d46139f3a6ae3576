// Package rtnl follows the kernel's routing netlink (rtnetlink(7)): links,
// addresses, routes and neighbours. Packages neigh and vip are its callers.
//
// A [Monitor] is control plane: it has one goroutine, allocates per message,
// and lives in the network namespace of the thread that opened it.
package rtnl

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Handler is called by a Monitor's goroutine. While it runs, nothing is read
// from the socket, and what the kernel cannot queue there is lost: be quick.
type Handler interface {
	// Messages gets what the kernel multicast, in order.
	Messages([]syscall.NetlinkMessage)
	// Lost says that messages were missed: the receive buffer overflowed
	// (ENOBUFS), or one could not be read. Only a new dump tells the state.
	Lost()
}

// Monitor hands a subscription's messages to a Handler.
type Monitor struct {
	socket *nl.NetlinkSocket
	closed atomic.Bool
	done   chan struct{}
}

// pauseAfterError keeps an error that does not go away from spinning.
const pauseAfterError = 100 * time.Millisecond

// Follow subscribes to multicast groups (RTNLGRP_*) with a receive buffer of
// the given size in bytes, and calls h until the Monitor is closed. What
// changes after Follow has returned is not missed: dump then.
func Follow(h Handler, receiveBuffer int, groups ...uint) (*Monitor, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return nil, fmt.Errorf("subscribe to rtnetlink: %w", err)
	}
	// The forced size may pass net.core.rmem_max, but needs CAP_NET_ADMIN.
	if socket.SetReceiveBufferSize(receiveBuffer, true) != nil {
		if err := socket.SetReceiveBufferSize(receiveBuffer, false); err != nil {
			socket.Close()
			return nil, fmt.Errorf("rtnetlink receive buffer of %d bytes: %w", receiveBuffer, err)
		}
	}
	m := &Monitor{socket: socket, done: make(chan struct{})}
	go m.run(h)
	return m, nil
}

// Close ends the subscription. When it has returned, h is not called again.
func (m *Monitor) Close() {
	if !m.closed.Swap(true) {
		m.socket.Close()
	}
	<-m.done
}

func (m *Monitor) run(h Handler) {
	defer close(m.done)
	for {
		messages, from, err := m.socket.Receive()
		switch {
		case m.closed.Load():
			return
		case err == nil && from.Pid == nl.PidKernel:
			h.Messages(messages)
		case err == nil, errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			// Not the kernel's word, or nothing yet.
		case errors.Is(err, unix.ENOBUFS):
			h.Lost()
		default:
			h.Lost()
			time.Sleep(pauseAfterError)
		}
	}
}
