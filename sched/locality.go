package sched

import (
	"fmt"
	"math"
	"time"

	"github.com/xlvs/xlvs/service"
)

// locality is lblc (ip_vs_lblc.c): connections to one destination address go to one server,
// as long as it can take them. It is for the caches of a transparent proxy, whose
// destinations are the addresses of all the world under one firewall mark.
type locality struct {
	servers    list // of positive weight
	byID       map[service.ID]*service.RealServer
	cache      *cache
	expiration uint32 // seconds
}

func newLocality(servers list, _ flags, opt Options) (service.Scheduler, error) {
	var previous *cache
	if p, ok := opt.Previous.(*locality); ok {
		previous = p.cache
	}
	return makeLocality(servers, opt, previous, 1)
}

// makeLocality returns a locality that goes on with the previous cache if there is one and
// its size is still right: the cache knows servers by their IDs, and old and new may use it
// at once.
func makeLocality(servers list, opt Options, previous *cache, replicas int) (*locality, error) {
	s := &locality{servers: servers.weighted(), byID: make(map[service.ID]*service.RealServer, len(servers))}
	for _, r := range servers {
		if other := s.byID[r.ID]; other != nil {
			return nil, fmt.Errorf("%v and %v have the same ID", other.Addr, r.Addr)
		}
		s.byID[r.ID] = r
	}
	expiration := opt.Expiration
	if expiration == 0 {
		expiration = 24 * time.Hour
	}
	if expiration < time.Second || expiration > math.MaxInt32*time.Second {
		return nil, fmt.Errorf("expiration %v: use 1s or more", expiration)
	}
	s.expiration = uint32(expiration / time.Second)
	buckets, err := cacheBuckets(opt.CacheSize)
	if err != nil {
		return nil, err
	}
	if s.cache = previous; previous == nil || previous.buckets != buckets {
		s.cache = newCache(buckets, replicas)
	}
	return s, nil
}

// Schedule implements service.Scheduler.
func (s *locality) Schedule(r *service.Request) *service.RealServer {
	var m remembered
	s.cache.find(r.Tuple.Dst, r.Now, s.expiration, &m)
	if m.found {
		if real := s.byID[m.servers[0]]; real != nil && real.Available() && !s.strained(real) {
			m.touch(r.Now)
			return real
		}
	}
	real := leastLoaded(s.servers, connections)
	switch {
	case real != nil:
		m.servers[0], m.n, m.changed = real.ID, 1, r.Now
		m.write(r.Now)
	case m.found: // its server may be back before it expires
		m.touch(r.Now)
	}
	return real
}

// strained reports whether a server has more active connections than its weight while
// another has less than half of its own (is_overloaded in ip_vs_lblc.c).
func (s *locality) strained(r *service.RealServer) bool {
	if r.Counts.Active.Load() <= int64(r.Weight) {
		return false
	}
	for _, other := range s.servers {
		if other.Counts.Active.Load()*2 < int64(other.Weight) {
			return true
		}
	}
	return false
}
