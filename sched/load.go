package sched

import (
	"math/bits"

	"github.com/xlvs/xlvs/service"
)

// cost says what a server's connections count in its load: active*Active +
// inactive*Inactive + base.
type cost struct{ active, inactive, base uint64 }

var (
	// connections is ip_vs_dest_conn_overhead: an active connection costs as much as 256
	// others.
	connections = cost{active: 256, inactive: 1}
	// delay is ip_vs_sed_dest_overhead: the active connections and the one to come.
	delay = cost{active: 1, base: 1}
)

// of returns the load of a server. The two counts are read one after the other while
// workers change them: a load is an estimate.
func (c cost) of(r *service.RealServer) uint64 {
	return c.active*count(r.Counts.Active.Load()) + c.inactive*count(r.Counts.Inactive.Load()) + c.base
}

// count is a number of connections; one that is negative for a moment, while another worker
// is about to count the connection that this one has seen end, is none.
func count(n int64) uint64 { return uint64(max(n, 0)) }

// heavier reports whether load1/weight1 > load2/weight2, for weights that are not 0,
// without dividing and without overflow.
func heavier(load1 uint64, weight1 int32, load2 uint64, weight2 int32) bool {
	hi1, lo1 := bits.Mul64(load1, uint64(weight2))
	hi2, lo2 := bits.Mul64(load2, uint64(weight1))
	return hi1 > hi2 || hi1 == hi2 && lo1 > lo2
}

// leastLoaded returns the available server with the least load by its weight, the first of
// several, or nil.
func leastLoaded(servers list, c cost) *service.RealServer {
	var least *service.RealServer
	var leastLoad uint64
	for _, r := range servers {
		if !r.Available() {
			continue
		}
		load := c.of(r)
		if least == nil || heavier(leastLoad, least.Weight, load, r.Weight) {
			least, leastLoad = r, load
		}
	}
	return least
}
