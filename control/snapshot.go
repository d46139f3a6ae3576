package control

import (
	"net/netip"
	"slices"

	"github.com/xlvs/xlvs/dataplane"
	"github.com/xlvs/xlvs/service"
)

// snapshot merges the policy with where the servers are at this moment.
func (d *Director) snapshot() *dataplane.Snapshot {
	hops := map[service.ID]dataplane.Hop{}
	if d.neigh != nil {
		for _, vs := range d.policy.services.All() {
			for _, real := range vs.Servers {
				hop, status := d.neigh.Lookup(real.Addr)
				real.Counts.Unreachable.Store(status.Unreachable() && !vs.KeepUnreachable)
				if i := d.portOf(hop.Interface); status.OK() && i >= 0 {
					hops[real.ID] = dataplane.Hop{Port: uint8(i), Next: hop}
				}
			}
		}
	}
	d.generation++
	s := dataplane.NewSnapshot(d.policy.rules, d.policy.services, d.config.Tables.Servers, hops, d.generation)
	d.fillHost(s)
	return s
}

// portOf is the port of an interface index, -1 if it is none of ours.
func (d *Director) portOf(index int) int {
	return slices.IndexFunc(d.ports, func(p *port) bool { return p.index == index && index != 0 })
}

// serverAddrs are the addresses of all real servers of a policy.
func serverAddrs(p *policy) []netip.Addr {
	var addrs []netip.Addr
	for _, vs := range p.services.All() {
		for _, real := range vs.Servers {
			addrs = append(addrs, real.Addr)
		}
	}
	return addrs
}
