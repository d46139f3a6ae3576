package sched

import (
	"sync/atomic"

	"github.com/xlvs/xlvs/service"
)

// roundRobin is rr (ip_vs_rr.c): the next available server after the last one chosen.
type roundRobin struct {
	servers list // of positive weight
	cursor  cursor
}

// cursor is a place in a round that workers move on by compare and swap, on a cache line of
// its own: what is beside it is read on every pick.
type cursor struct {
	_ [64]byte
	atomic.Uint64
	_ [56]byte
}

func newRoundRobin(servers list, _ flags, opt Options) (service.Scheduler, error) {
	s := &roundRobin{servers: servers.weighted()}
	if p, ok := opt.Previous.(*roundRobin); ok {
		s.cursor.Store(uint64(takeOver(servers, p.servers[:p.cursor.Load()])))
	}
	return s, nil
}

// takeOver returns how many servers of positive weight in the new list come before the
// place in the round that a previous scheduler has reached, which is after those in passed.
// If the last of them is gone, the one before it counts (ip_vs_rr_del_dest).
func takeOver(servers, passed list) int {
	for i := len(passed) - 1; i >= 0; i-- {
		if at := servers.index(passed[i]); at >= 0 {
			return len(servers[:at+1].weighted())
		}
	}
	return 0
}

// Schedule implements service.Scheduler. The cursor holds how many servers there are up to
// the last one chosen.
func (s *roundRobin) Schedule(*service.Request) *service.RealServer {
	for {
		passed := s.cursor.Load()
		next := s.next(int(passed))
		if next < 0 {
			return nil
		}
		if s.cursor.CompareAndSwap(passed, uint64(next)+1) {
			return s.servers[next]
		}
	}
}

// next returns the index of the next available server after the first passed ones, around
// the list, or -1.
func (s *roundRobin) next(passed int) int {
	for i := passed; i < len(s.servers); i++ {
		if s.servers[i].Available() {
			return i
		}
	}
	for i := range passed {
		if s.servers[i].Available() {
			return i
		}
	}
	return -1
}
