package ring

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/ring/internal/abi"
)

// Socket is an AF_XDP socket, bound to one queue of an interface.
type Socket struct {
	// Constant after Open.
	umem     *UMEM
	config   SocketConfig
	slot     int
	fd       int
	name     string // of the interface
	mode     Mode   // obtained
	reason   string
	budget   uint32
	mappings [4][]byte

	// Owned by the worker.
	fill        abi.Producer[uint64]
	completion  abi.Consumer[uint64]
	rx          abi.Consumer[Desc]
	tx          abi.Producer[Desc]
	reception   uint32 // frames lent to the kernel for reception, at most config.Fill
	inFlight    uint32 // frames lent to the kernel for transmission
	busyPoll    BusyPoll
	down        error     // the last error: sticky if dead
	dead        bool      // nothing more is asked of the kernel but to close
	stalled     time.Time // since when the kernel takes nothing off the TX ring; zero if it does
	takenBefore uint32    // frames taken off the TX ring at that time

	counters counters // atomic

	mu          sync.Mutex // guards all following fields
	closed      bool
	kernelStats unix.XDPStatistics
}

// FD is the socket's file descriptor, to be put into the XSKMAP. It is the
// socket's own.
func (s *Socket) FD() int { return s.fd }

// Interface is the index of the interface.
func (s *Socket) Interface() int { return s.config.Interface }

// Queue is the number of the interface's queue.
func (s *Socket) Queue() uint32 { return s.config.Queue }

// Mode is the mode that was obtained: never Auto.
func (s *Socket) Mode() Mode { return s.mode }

// Reason tells why the socket has its mode, for the log.
func (s *Socket) Reason() string { return s.reason }

// TXBudget is how many frames the kernel sends in one system call, at most, in
// the copy modes.
func (s *Socket) TXBudget() uint32 { return s.budget }

// String is "eth0 queue 3".
func (s *Socket) String() string { return fmt.Sprintf("%s queue %d", s.name, s.config.Queue) }

// Close closes the socket and takes back all frames that it or the kernel held
// for it. Frames that the caller has stay the caller's.
//
// The kernel lets go of a zero-copy queue only some milliseconds later, and of
// pages on their way out through some drivers in copy mode too. Such frames
// become free when a socket is next opened on the queue, or after a second.
func (s *Socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.readKernelLocked()
	s.closed = true
	s.dead, s.down = true, &DownError{Socket: s.String(), Doing: "use", Errno: unix.EBADF, Advice: "closed"}
	return s.release()
}
