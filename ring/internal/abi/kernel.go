package abi

import (
	"time"

	"golang.org/x/sys/unix"
)

// RingKind names one of the four rings of a socket.
type RingKind uint8

// The four rings. The values index the tables of options and offsets.
const (
	Fill RingKind = iota
	Completion
	RX
	TX
)

func (k RingKind) String() string {
	return [...]string{"fill", "completion", "RX", "TX"}[k]
}

// Kernel is what package ring asks of the operating system. Linux is the real
// one. Errors are unix.Errno, or wrap one. Kick, Wake and Poll must not allocate.
type Kernel interface {
	// Now is the monotonic clock.
	Now() time.Time
	// Release is the kernel's release, "6.18.4-amd64" for one.
	Release() string
	// Interface gives an interface's name and its driver's, of the calling
	// thread's network namespace; a driver that does not tell is "".
	Interface(ifindex int) (name, driver string, err error)
	// Holder tells which process has an AF_XDP socket on a queue, "pid 12 (name)"
	// for one, or "" if that cannot be told.
	Holder(ifindex int, queue uint32) string

	// MapMemory makes zeroed memory for a UMEM, at a page boundary.
	MapMemory(length int, hugePages bool) ([]byte, error)
	UnmapMemory(mem []byte) error

	// Socket makes an AF_XDP socket.
	Socket() (fd int, err error)
	Close(fd int) error
	// RegisterUMEM is XDP_UMEM_REG.
	RegisterUMEM(fd int, mem []byte, frameSize, headroom uint32) error
	// SetRing is XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING or XDP_TX_RING.
	SetRing(fd int, kind RingKind, entries uint32) error
	// Offsets is XDP_MMAP_OFFSETS, indexed by RingKind.
	Offsets(fd int) ([4]unix.XDPRingOffset, error)
	MapRing(fd int, kind RingKind, length int) ([]byte, error)
	UnmapRing(mem []byte) error
	// SetTXBudget is XDP_MAX_TX_SKB_BUDGET (Linux 6.17; ENOPROTOOPT before).
	SetTXBudget(fd int, frames uint32) error
	// SetBusyPoll is SO_PREFER_BUSY_POLL (on if microseconds are not 0), SO_BUSY_POLL
	// and SO_BUSY_POLL_BUDGET (Linux 5.11; ENOPROTOOPT before).
	SetBusyPoll(fd int, microseconds, budget uint32) error
	// SetSendBuffer is SO_SNDBUFFORCE.
	SetSendBuffer(fd int, bytes int) error
	// Bind attaches the socket to a queue. Flags are XDP_COPY and so on;
	// sharedFD counts with XDP_SHARED_UMEM only.
	Bind(fd int, ifindex int, queue uint32, flags uint16, sharedFD int) error
	// ZeroCopy reads XDP_OPTIONS back.
	ZeroCopy(fd int) (bool, error)
	// Statistics is XDP_STATISTICS.
	Statistics(fd int) (unix.XDPStatistics, error)

	// Kick asks the kernel to look at the TX ring: sendto(2), never blocking. 0 is success.
	Kick(fd int) unix.Errno
	// Wake asks the kernel to look at the fill ring: recvfrom(2), never blocking. 0 is success.
	Wake(fd int) unix.Errno
	// Poll is ppoll(2). A negative timeout waits for ever. 0 is success; EINTR
	// leaves Revents undefined.
	Poll(fds []unix.PollFd, timeout time.Duration) unix.Errno
}
