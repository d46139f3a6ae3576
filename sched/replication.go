package sched

import (
	"slices"

	"github.com/xlvs/xlvs/service"
)

// replication is lblcr (ip_vs_lblcr.c), lblc with a set of servers for each destination:
// one is added when all of the set are strained, and the most loaded one goes when the set
// has not changed for a while.
type replication struct{ locality }

func newReplication(servers list, _ flags, opt Options) (service.Scheduler, error) {
	var previous *cache
	if p, ok := opt.Previous.(*replication); ok {
		previous = p.cache
	}
	l, err := makeLocality(servers, opt, previous, maxReplicas)
	if err != nil {
		return nil, err
	}
	return &replication{*l}, nil
}

// Schedule implements service.Scheduler.
func (s *replication) Schedule(r *service.Request) *service.RealServer {
	var m remembered
	s.cache.find(r.Tuple.Dst, r.Now, s.expiration, &m)
	var room [maxReplicas]*service.RealServer
	set := s.set(&m, &room)
	real := leastLoaded(set, connections)
	changed := false
	if len(set) > 1 && int32(r.Now-m.changed) > int32(s.expiration) {
		if most := mostLoaded(set); most != nil {
			set = slices.DeleteFunc(set, func(r *service.RealServer) bool { return r == most })
			changed = true
		}
	}
	if real == nil || s.strained(real) {
		if real = leastLoaded(s.servers, connections); real != nil && !slices.Contains(set, real) {
			set = insert(&room, set, real)
			changed = true
		}
	}
	switch {
	case changed:
		m.store(set, r.Now)
	case m.found:
		m.touch(r.Now)
	}
	return real
}

// set returns a destination's servers, the one added last first; those that are no longer
// servers are left out. The result is in room.
func (s *replication) set(m *remembered, room *[maxReplicas]*service.RealServer) list {
	set := list(room[:0])
	for _, id := range m.servers[:m.n] {
		if real := s.byID[id]; real != nil {
			set = append(set, real)
		}
	}
	return set
}

// insert returns the set, which is in room, with r in front. A full set loses the server
// that was added first.
func insert(room *[maxReplicas]*service.RealServer, set list, r *service.RealServer) list {
	n := min(len(set)+1, maxReplicas)
	copy(room[1:n], set)
	room[0] = r
	return room[:n]
}

// store writes a destination's new set of servers.
func (m *remembered) store(set list, now uint32) {
	for i, r := range set {
		m.servers[i] = r.ID
	}
	m.n, m.changed = len(set), now
	m.write(now)
}

// mostLoaded returns the server of positive weight with the greatest load by its weight,
// the first of several, or nil (ip_vs_dest_set_max).
func mostLoaded(set list) *service.RealServer {
	var most *service.RealServer
	var mostLoad uint64
	for _, r := range set {
		if r.Weight == 0 {
			continue
		}
		load := connections.of(r)
		if most == nil || heavier(load, r.Weight, mostLoad, most.Weight) {
			most, mostLoad = r, load
		}
	}
	return most
}
