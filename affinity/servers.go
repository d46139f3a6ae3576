package affinity

import (
	"sync/atomic"

	"github.com/xlvs/xlvs/service"
)

// servers is what the tables know of the real servers, by number, in the
// memory of the process: it is counted afresh on attaching.
type servers struct {
	count []service.Counts
	// thresholds are upper<<32 | lower; 0 is none.
	thresholds []atomic.Uint64
	// limits are the timeouts of each server's entries; nil if nobody said.
	limits []atomic.Pointer[Timeouts]
}

func newServers(n uint32) *servers {
	return &servers{count: make([]service.Counts, n+1), thresholds: make([]atomic.Uint64, n+1),
		limits: make([]atomic.Pointer[Timeouts], n+1)}
}

// timeouts returns those of a server's entries, nil if nobody said.
func (s *servers) timeouts(number uint32) *Timeouts {
	if number >= uint32(len(s.limits)) {
		return nil
	}
	return s.limits[number].Load()
}

// counts returns a server's counts; those of number 0, which is no server, for a
// number that does not exist.
func (s *servers) counts(number uint32) *service.Counts {
	if number >= uint32(len(s.count)) {
		number = 0
	}
	return &s.count[number]
}

// account adds a connection in a state to a server's counts by +1, or takes it away
// by -1, and judges whether that overloads it.
func (s *servers) account(number uint32, state State, by int64) {
	c := s.counts(number)
	switch {
	case state.Active():
		c.Active.Add(by)
	case state != StateFragment:
		c.Inactive.Add(by)
	}
	s.judge(number)
}

// move tells a server that a connection changed its state. Those that count alike
// are most of the changes, and cost nothing.
func (s *servers) move(number uint32, from, to State) {
	if from.Active() == to.Active() && (from == StateFragment) == (to == StateFragment) {
		return
	}
	s.account(number, to, +1)
	s.account(number, from, -1)
}

// judge sets or clears a server's overload flag (ip_vs_bind_dest,
// ip_vs_unbind_dest): set when active and inactive connections reach the upper
// threshold; cleared when they fall below the lower one, or below three quarters of
// the upper one if there is no lower.
func (s *servers) judge(number uint32) {
	if number >= uint32(len(s.thresholds)) {
		return
	}
	bounds := s.thresholds[number].Load()
	upper, lower := int64(bounds>>32), int64(bounds&0xffffffff)
	if upper == 0 {
		return
	}
	c := &s.count[number]
	for {
		total, was := c.Active.Load()+c.Inactive.Load(), c.Overloaded.Load()
		is := total >= upper
		if was && !is {
			is = !(lower != 0 && total < lower || lower == 0 && total*4 < upper*3)
		}
		if is == was {
			return
		}
		// Somebody may have counted, and judged by the old flag, before it is stored. Nobody
		// else would look again, so look once more.
		c.Overloaded.Store(is)
	}
}

// Counts returns the counts of the server with a number, which are shared by
// all versions of that server.
func (t *Tables) Counts(number uint32) *service.Counts { return t.servers.counts(number) }

// SetThresholds bounds a server's connections (ipvsadm -x and -y; 0 is none). A
// change clears the overload flag, and the new thresholds decide at once. The
// caller has checked that lower is not above upper.
func (t *Tables) SetThresholds(number, upper, lower uint32) {
	if number >= uint32(len(t.servers.thresholds)) {
		return
	}
	bounds := uint64(upper)<<32 | uint64(lower)
	if t.servers.thresholds[number].Swap(bounds) == bounds {
		return
	}
	t.servers.counts(number).Overloaded.Store(false)
	t.servers.judge(number)
}

// SetTimeouts says how long the entries of a server live. The tables need it to tell
// for how long one was not heard, when they must make room. They must not change afterwards.
func (t *Tables) SetTimeouts(number uint32, timeouts *Timeouts) {
	if limits := t.servers.limits; number < uint32(len(limits)) && limits[number].Load() != timeouts {
		limits[number].Store(timeouts)
	}
}
