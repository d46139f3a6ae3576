package sched

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/xlvs/xlvs/service"
)

// Options are what a scheduler can be told; the zero Options are IPVS's defaults.
type Options struct {
	// Flags are the service's scheduler flags by their IPVS names, as [ValidateFlags] takes
	// them (optional).
	Flags []string

	// MaglevIndex sets how many slots the table of mh has: the largest prime below 2 to
	// that power, from 8 (251 slots) to 17 (131071 slots). 0 is 12 (4093 slots), the
	// kernel's default (CONFIG_IP_VS_MH_TAB_INDEX). Directors that are to choose alike need
	// the same.
	MaglevIndex int

	// Expiration is how long lblc and lblcr remember a destination that nobody asks for,
	// and after how long without a change lblcr takes the most loaded server from a
	// destination's set; in whole seconds. 0 is 24 hours (net.ipv4.vs.lblc_expiration,
	// lblcr_expiration).
	Expiration time.Duration

	// CacheSize is how many destinations lblc and lblcr remember, rounded up to a power of
	// two. 0 is 16384, from where IPVS starts to forget the idle ones. A destination takes
	// 33 bytes under lblc and 153 under lblcr.
	CacheSize int

	// Previous is the scheduler that the new one takes over from (optional). Where both are
	// the same scheduler, the new one goes on from its state: the place in the round (rr,
	// wrr), the destinations (lblc, lblcr). Workers may still use it meanwhile.
	Previous service.Scheduler
}

// kind is one of IPVS's schedulers.
type kind struct {
	name string
	// fallback and port are the names of IP_VS_SVC_F_SCHED1 and IP_VS_SVC_F_SCHED2 where
	// they mean something.
	fallback, port string
	build          func(servers list, f flags, opt Options) (service.Scheduler, error)
}

// kinds are all schedulers, in the order of ipvsadm's manual.
var kinds = []kind{
	{name: "rr", build: newRoundRobin},
	{name: "wrr", build: newWeightedRoundRobin},
	{name: "lc", build: newLeastConn},
	{name: "wlc", build: newWeightedLeastConn},
	{name: "lblc", build: newLocality},
	{name: "lblcr", build: newReplication},
	{name: "dh", build: newDestinationHash},
	{name: "sh", build: newSourceHash, fallback: "sh-fallback", port: "sh-port"},
	{name: "sed", build: newShortestDelay},
	{name: "nq", build: newNeverQueue},
	{name: "fo", build: newFailover},
	{name: "ovf", build: newOverflow},
	{name: "mh", build: newMaglev, fallback: "mh-fallback", port: "mh-port"},
	{name: "twos", build: newTwoChoices},
}

// Names returns the names of all schedulers, in the order of ipvsadm's manual.
func Names() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// New returns the scheduler of that IPVS name over servers, in the order in which they are
// configured. Servers must have Counts and weights that are not negative, and for lblc and
// lblcr IDs that differ. The slice is copied, the servers are not.
func New(name string, servers []*service.RealServer, opt Options) (service.Scheduler, error) {
	k, err := kindNamed(name)
	if err != nil {
		return nil, err
	}
	f, err := k.parseFlags(opt.Flags)
	if err != nil {
		return nil, err
	}
	for i, r := range servers {
		if err := check(r); err != nil {
			return nil, fmt.Errorf("scheduler %s: server %d: %w", name, i+1, err)
		}
	}
	walk := slices.Clone(servers)
	slices.Reverse(walk)
	s, err := k.build(walk, f, opt)
	if err != nil {
		return nil, fmt.Errorf("scheduler %s: %w", name, err)
	}
	return s, nil
}

func kindNamed(name string) (*kind, error) {
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i], nil
		}
	}
	return nil, fmt.Errorf("no scheduler %q: use one of %v", name, Names())
}

func check(r *service.RealServer) error {
	switch {
	case r == nil:
		return errors.New("nil real server")
	case r.Counts == nil:
		return fmt.Errorf("%v has no counts", r.Addr)
	case r.Weight < 0:
		return fmt.Errorf("%v has weight %d: use 0 to %d", r.Addr, r.Weight, math.MaxInt32)
	}
	return nil
}

// list is a service's real servers in the order in which IPVS walks them, the one added
// last first.
type list []*service.RealServer

// weighted returns the servers that new clients may go to while they are available:
// those whose weight is not 0.
func (l list) weighted() list {
	w := make(list, 0, len(l))
	for _, r := range l {
		if r.Weight > 0 {
			w = append(w, r)
		}
	}
	return w
}

// index returns where in l the server r is, -1 if it is not there. A server is the same if
// its address and port are (ip_vs_lookup_dest).
func (l list) index(r *service.RealServer) int {
	return slices.IndexFunc(l, func(s *service.RealServer) bool { return s.Addr == r.Addr && s.Port == r.Port })
}

// anyAvailable reports whether any server may be chosen at this moment.
func (l list) anyAvailable() bool {
	for _, r := range l {
		if r.Available() {
			return true
		}
	}
	return false
}
