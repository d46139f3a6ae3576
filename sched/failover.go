package sched

import (
	"cmp"
	"slices"

	"github.com/xlvs/xlvs/service"
)

// failover is fo (ip_vs_fo.c): the available server of the greatest weight.
type failover struct{ servers list } // heaviest first

func newFailover(servers list, _ flags, _ Options) (service.Scheduler, error) {
	return &failover{heaviestFirst(servers)}, nil
}

// heaviestFirst returns the servers of positive weight by falling weight, those of one
// weight in the order of the list.
func heaviestFirst(servers list) list {
	sorted := servers.weighted()
	slices.SortStableFunc(sorted, func(a, b *service.RealServer) int { return cmp.Compare(b.Weight, a.Weight) })
	return sorted
}

// Schedule implements service.Scheduler.
func (s *failover) Schedule(*service.Request) *service.RealServer {
	for _, r := range s.servers {
		if r.Available() {
			return r
		}
	}
	return nil
}

// overflow is ovf (ip_vs_ovf.c): the available server of the greatest weight among those
// that have no more active connections than their weight.
type overflow struct{ servers list } // heaviest first

func newOverflow(servers list, _ flags, _ Options) (service.Scheduler, error) {
	return &overflow{heaviestFirst(servers)}, nil
}

// Schedule implements service.Scheduler.
func (s *overflow) Schedule(*service.Request) *service.RealServer {
	for _, r := range s.servers {
		if r.Counts.Active.Load() <= int64(r.Weight) && r.Available() {
			return r
		}
	}
	return nil
}
