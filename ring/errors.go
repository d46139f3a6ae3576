package ring

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrDown is what every error of Flush and Check wraps: the socket does not
// carry frames. Close it and Open it anew, from time to time until that
// succeeds.
var ErrDown = errors.New("socket is down")

// ErrLinkDown is wrapped too where the link is merely down (ENETDOWN). Such a
// socket works again when the link does, with the frames that were on its
// rings; opening it anew is not needed, and does no harm.
var ErrLinkDown = errors.New("link is down")

// DownError tells which socket does not carry frames, and why.
type DownError struct {
	Socket string // "eth0 queue 3"
	Doing  string // the operation
	Errno  unix.Errno
	Advice string // for the operator; may be empty
}

func (e *DownError) Error() string {
	s := fmt.Sprintf("%s: %s: %v", e.Socket, e.Doing, e.Errno)
	if e.Advice != "" {
		s += " (" + e.Advice + ")"
	}
	return s
}

// Unwrap makes errors.Is find the errno.
func (e *DownError) Unwrap() error { return e.Errno }

// Is makes errors.Is find ErrDown and ErrLinkDown.
func (e *DownError) Is(target error) bool {
	return target == ErrDown || target == ErrLinkDown && e.Errno == unix.ENETDOWN
}

// outcome is what an errno of sendto or recvfrom means for a socket. The list
// follows net/xdp/xsk.c and the wake-up functions of the drivers.
type outcome uint8

const (
	done     outcome = iota
	again            // interrupted by a signal: call again
	busy             // the kernel took what it could: call again when something has changed
	linkDown         // the interface is administratively down, or resetting
	dead             // the socket has lost its interface or its queue
)

func classify(errno unix.Errno) outcome {
	switch errno {
	case 0:
		return done
	case unix.EINTR:
		return again
	case unix.EAGAIN, // budget spent, completion ring or send buffer full, driver busy
		unix.EBUSY,                // the driver dropped one frame
		unix.ENOBUFS, unix.ENOMEM: // no memory for a socket buffer
		return busy
	case unix.ENETDOWN:
		return linkDown
	default: // ENXIO: unbound, the interface is gone; EBADF, ENODEV, EINVAL, ...
		return dead
	}
}

// openAdvice says what an operator can do about an error of a step of Open.
func openAdvice(step string, errno unix.Errno, mode Mode) string {
	switch errno {
	case unix.EPERM, unix.EACCES:
		if step == stepUMEM {
			return "needs CAP_IPC_LOCK, or a larger RLIMIT_MEMLOCK"
		}
		return "needs CAP_NET_RAW in the interface's network namespace"
	case unix.EAFNOSUPPORT:
		return "this kernel has no AF_XDP: CONFIG_XDP_SOCKETS"
	case unix.ENOBUFS, unix.ENOMEM:
		if step == stepUMEM {
			return "the UMEM counts against RLIMIT_MEMLOCK without CAP_IPC_LOCK; or there is no memory: fewer frames"
		}
		return "no memory in the kernel: smaller rings, or fewer frames"
	case unix.ENODEV, unix.ENXIO:
		return "there is no such interface in this network namespace"
	case unix.ENETDOWN:
		return "set the interface up"
	case unix.EOPNOTSUPP:
		if mode == ZeroCopy {
			return "the driver has no zero copy: use mode copy"
		}
	case unix.EBUSY:
		return "another socket has the queue, or a closed one is being taken down"
	case unix.EINVAL:
		switch {
		case step == stepBind && mode == ZeroCopy:
			return "no such queue, or the driver refuses zero copy with these frames, this MTU or these offloads: use mode copy"
		case step == stepBind:
			return "no such queue: see ethtool -l"
		case step == stepProbe:
			return "the driver refuses to send for this queue: use mode copy or generic, or give XDP more queues (ethtool -L)"
		}
	}
	return ""
}
