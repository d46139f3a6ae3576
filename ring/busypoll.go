package ring

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// BusyPoll makes a socket's worker poll its queue instead of waiting for the
// interface's interrupts ("preferred busy polling", Linux 5.11). The kernel then
// receives in the worker's own system calls: Flush polls once a batch, and Wait
// polls before it sleeps. For this to keep interrupts away the interface needs
// napi_defer_hard_irqs and gro_flush_timeout, too, which are not the socket's.
type BusyPoll struct {
	// Microseconds is how long Wait polls for a frame before it sleeps, up to
	// MaxBusyPoll; it bounds what an idle socket costs. 0 is no busy polling.
	Microseconds uint32
	// Budget is how many frames one poll receives at most, 1 to 65535. Drivers
	// look at 64 in a poll of their own; the kernel's default for sockets is 8.
	Budget uint32
}

// MaxBusyPoll is the most microseconds that Wait polls before it sleeps. Wake is
// not heard meanwhile.
const MaxBusyPoll = 10_000

const maxBusyPollBudget = 1<<16 - 1

func (b BusyPoll) on() bool { return b.Microseconds > 0 }

func (b BusyPoll) validate() error {
	if b.Microseconds > MaxBusyPoll {
		return fmt.Errorf("busy polling for %d microseconds: want at most %d", b.Microseconds, MaxBusyPoll)
	}
	if b.on() && (b.Budget == 0 || b.Budget > maxBusyPollBudget) {
		return fmt.Errorf("busy polling budget %d: want 1 to %d", b.Budget, maxBusyPollBudget)
	}
	return nil
}

// kernelBudget is what a socket has that never asked: BUSY_POLL_BUDGET of
// include/net/busy_poll.h.
const kernelBudget = 8

// SetBusyPoll changes how the socket polls; the zero value ends it. Unlike most
// options it may change while frames flow. ENOPROTOOPT is a kernel without it,
// and then the socket stays as it was.
func (s *Socket) SetBusyPoll(b BusyPoll) error {
	if err := b.validate(); err != nil {
		return err
	}
	budget := b.Budget
	if !b.on() {
		budget = kernelBudget
	}
	err := s.umem.kernel.SetBusyPoll(s.fd, b.Microseconds, budget)
	switch {
	case errors.Is(err, unix.ENOPROTOOPT):
		return fmt.Errorf("preferred busy polling: %w (needs Linux 5.11 with CONFIG_NET_RX_BUSY_POLL)", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("preferred busy polling: %w (needs CAP_NET_ADMIN)", err)
	case err != nil:
		return fmt.Errorf("preferred busy polling: %w", err)
	}
	s.busyPoll, s.config.BusyPoll = b, b
	return nil
}

// BusyPoll is how the socket polls at the moment.
func (s *Socket) BusyPoll() BusyPoll { return s.busyPoll }

// SetTXBudget changes SocketConfig.TXBudget while frames flow. ENOPROTOOPT is a
// kernel without it.
func (s *Socket) SetTXBudget(frames uint32) error {
	if frames < defaultTXBudget || frames > s.config.TX {
		return fmt.Errorf("transmit budget %d: want %d to %d", frames, defaultTXBudget, s.config.TX)
	}
	if err := s.umem.kernel.SetTXBudget(s.fd, frames); err != nil {
		return fmt.Errorf("transmit budget %d: %w", frames, err)
	}
	s.budget, s.config.TXBudget = frames, frames
	return nil
}

// busyPoll polls the queues of the sockets that ask for it until one has a
// frame, and reports that, or until the longest of their times is over.
func (w *Waiter) busyPoll(sockets []*Socket) bool {
	limit := uint32(0)
	for _, s := range sockets {
		if !s.dead {
			limit = max(limit, s.busyPoll.Microseconds)
		}
	}
	if limit == 0 {
		return false
	}
	kernel := w.umem.kernel
	for start := kernel.Now(); ; {
		for _, s := range sockets {
			if s.dead || !s.busyPoll.on() {
				continue
			}
			s.counters.polls.add(1)
			kernel.Wake(s.fd) // an error is Flush's to tell
			if s.rx.Ready(1) > 0 {
				return true
			}
		}
		if kernel.Now().Sub(start) >= time.Duration(limit)*time.Microsecond {
			return false
		}
	}
}
