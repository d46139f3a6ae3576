package sched

import "github.com/xlvs/xlvs/service"

// leastConn is lc (ip_vs_lc.c): the server with the fewest connections, whatever its
// weight.
type leastConn struct{ servers list }

func newLeastConn(servers list, _ flags, _ Options) (service.Scheduler, error) {
	return &leastConn{servers.weighted()}, nil
}

// Schedule implements service.Scheduler.
func (s *leastConn) Schedule(*service.Request) *service.RealServer {
	var least *service.RealServer
	var leastLoad uint64
	for _, r := range s.servers {
		if !r.Available() {
			continue
		}
		if load := connections.of(r); least == nil || load < leastLoad {
			least, leastLoad = r, load
		}
	}
	return least
}

// weightedLeastConn is wlc (ip_vs_wlc.c), the server with the fewest connections by its
// weight, and sed (ip_vs_sed.c), the one where the next connection would wait for the
// shortest time.
type weightedLeastConn struct {
	servers list
	cost    cost
}

func newWeightedLeastConn(servers list, _ flags, _ Options) (service.Scheduler, error) {
	return &weightedLeastConn{servers.weighted(), connections}, nil
}

func newShortestDelay(servers list, _ flags, _ Options) (service.Scheduler, error) {
	return &weightedLeastConn{servers.weighted(), delay}, nil
}

// Schedule implements service.Scheduler.
func (s *weightedLeastConn) Schedule(*service.Request) *service.RealServer {
	return leastLoaded(s.servers, s.cost)
}

// neverQueue is nq (ip_vs_nq.c): the first idle server, else what sed would choose.
type neverQueue struct{ servers list }

func newNeverQueue(servers list, _ flags, _ Options) (service.Scheduler, error) {
	return &neverQueue{servers.weighted()}, nil
}

// Schedule implements service.Scheduler.
func (s *neverQueue) Schedule(*service.Request) *service.RealServer {
	var least *service.RealServer
	var leastLoad uint64
	for _, r := range s.servers {
		if !r.Available() {
			continue
		}
		load := delay.of(r)
		if load == delay.base { // idle
			return r
		}
		if least == nil || heavier(leastLoad, least.Weight, load, r.Weight) {
			least, leastLoad = r, load
		}
	}
	return least
}
