package sched

import (
	"math/rand/v2"

	"github.com/xlvs/xlvs/service"
)

// twoChoices is twos (ip_vs_twos.c): of two servers drawn by lot, each with as many tickets
// as its weight, the one with the fewer connections by its weight.
//
// The lots are math/rand/v2's top-level functions: a generator for each thread, with no
// lock.
type twoChoices struct{ servers list }

func newTwoChoices(servers list, _ flags, _ Options) (service.Scheduler, error) {
	return &twoChoices{servers.weighted()}, nil
}

// Schedule implements service.Scheduler.
func (s *twoChoices) Schedule(*service.Request) *service.RealServer {
	tickets := s.tickets()
	if tickets == 0 {
		return nil
	}
	return s.choose(rand.Int64N(tickets), rand.Int64N(tickets))
}

// tickets returns the sum of the weights of all available servers.
func (s *twoChoices) tickets() (n int64) {
	for _, r := range s.servers {
		if r.Available() {
			n += int64(r.Weight)
		}
	}
	return n
}

// choose returns the less loaded of the two holders of tickets, the first's if they are
// equal. It is nil only if a server became unavailable after its tickets were counted, and
// no other is left.
func (s *twoChoices) choose(ticket1, ticket2 int64) *service.RealServer {
	first, second := s.holder(ticket1), s.holder(ticket2)
	if first == nil || second == nil {
		return first
	}
	if heavier(connections.of(first), first.Weight, connections.of(second), second.Weight) {
		return second
	}
	return first
}

// holder returns who has a ticket, counted from 0; the last available server if there are
// fewer tickets than a moment ago.
func (s *twoChoices) holder(ticket int64) (holder *service.RealServer) {
	for _, r := range s.servers {
		if !r.Available() {
			continue
		}
		holder = r
		if ticket -= int64(r.Weight); ticket < 0 {
			break
		}
	}
	return holder
}
