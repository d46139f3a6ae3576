package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pendingPoll is the longest that Wait sleeps while something can change that
// no poll tells: descriptors that the kernel did not take, or frames of which a
// socket is short that come back with the next Flush.
const pendingPoll = time.Millisecond

// Waiter sleeps until there are frames to receive.
type Waiter struct {
	umem *UMEM
	fds  []unix.PollFd // reused by Wait

	mu    sync.Mutex // guards event
	event int        // eventfd; -1 when closed
}

// NewWaiter makes a waiter for the sockets of a UMEM.
func NewWaiter(u *UMEM) (*Waiter, error) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &Waiter{umem: u, event: event, fds: make([]unix.PollFd, 1, 1+maxSockets)}, nil
}

// Wait sleeps until one of the sockets has received a frame, until Wake, or
// until the timeout; below 0 it is without end, 0 does not sleep. It may return
// early for other reasons. While descriptors wait for the kernel on a TX ring it
// sleeps a millisecond at most, and for writability where the ring is filling up.
//
// The caller flushes all sockets before it waits. Dead sockets are left out.
func (w *Waiter) Wait(sockets []*Socket, timeout time.Duration) error {
	w.fds = append(w.fds[:0], unix.PollFd{Fd: int32(w.event), Events: unix.POLLIN})
	for _, s := range sockets {
		fd := unix.PollFd{Fd: -1} // poll(2) skips it
		if !s.dead {
			if s.rx.Ready(1) > 0 {
				return nil
			}
			fd = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN}
			pending := s.tx.Outstanding()
			if pending > s.tx.Size()/2 { // where the kernel draws the line: xsk_tx_writeable
				fd.Events |= unix.POLLOUT
			}
			if s.restless(pending) && (timeout < 0 || timeout > pendingPoll) {
				timeout = pendingPoll
			}
		}
		w.fds = append(w.fds, fd)
	}
	if timeout != 0 && w.busyPoll(sockets) {
		return nil
	}
	errno := w.umem.kernel.Poll(w.fds, timeout)
	if errno == unix.EINTR {
		return nil
	}
	if errno != 0 {
		return fmt.Errorf("poll %d sockets: %w", len(sockets), errno)
	}
	if w.fds[0].Revents != 0 {
		w.drain()
	}
	for i, s := range sockets {
		if w.fds[1+i].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
			// Kernels that report a deleted interface at all do it here, at every
			// poll from now on. Flush tells the caller.
			s.fail("poll", unix.ENXIO)
		}
	}
	return nil
}

// restless tells whether a socket needs another Flush soon, frames or not.
func (s *Socket) restless(pending uint32) bool {
	if pending > 0 && s.mode != ZeroCopy {
		return true
	}
	return s.inFlight > 0 && s.reception < s.config.Fill/2
}

// Wake ends a Wait that is under way, or else the next one. Any goroutine may
// call it, also after Close.
func (w *Waiter) Wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.event < 0 {
		return
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(w.event, one[:]) // EAGAIN: it is awake 2^64-2 times over
}

func (w *Waiter) drain() {
	var count [8]byte
	_, _ = unix.Read(w.event, count[:])
}

// Close closes the waiter. No Wait may be under way.
func (w *Waiter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.event < 0 {
		return errors.New("waiter: closed already")
	}
	event := w.event
	w.event = -1
	if err := unix.Close(event); err != nil {
		return fmt.Errorf("waiter: close eventfd: %w", err)
	}
	return nil
}
