package sched

import (
	"math/bits"

	"github.com/xlvs/xlvs/service"
)

// weightedRoundRobin is wrr (ip_vs_wrr.c). It goes round the servers in passes, each with a
// level: a pass takes the servers whose weight is at least its level. Levels fall from the
// greatest weight to the least possible by the greatest common divisor of all weights, then
// begin again, so that a server of weight w is in w/step passes.
type weightedRoundRobin struct {
	servers list // of positive weight
	weights maxTree
	step    uint32 // the greatest common divisor of the weights
	top     uint32 // the level of the first pass
	cursor  cursor // servers passed in this pass <<32 | the pass's level
}

func newWeightedRoundRobin(servers list, _ flags, opt Options) (service.Scheduler, error) {
	s := &weightedRoundRobin{servers: servers.weighted()}
	s.weights = newMaxTree(s.servers)
	for _, r := range s.servers {
		s.step = gcd(s.step, uint32(r.Weight))
	}
	s.top = s.levelOf(s.weights.max())
	passed, level := 0, s.top
	if p, ok := opt.Previous.(*weightedRoundRobin); ok && len(s.servers) > 0 {
		n, l := unpack(p.cursor.Load())
		passed, level = takeOver(servers, p.servers[:n]), s.nearest(l)
	}
	s.cursor.Store(pack(passed, level))
	return s, nil
}

func pack(passed int, level uint32) uint64 { return uint64(passed)<<32 | uint64(level) }

func unpack(c uint64) (passed int, level uint32) { return int(c >> 32), uint32(c) }

// levelOf returns the level of the first pass that a server of that weight is in: levels
// are 1, 1+step, 1+2*step and so on, weights step, 2*step and so on.
func (s *weightedRoundRobin) levelOf(weight uint32) uint32 {
	if weight == 0 {
		return 0
	}
	return weight - (s.step - 1)
}

// nearest returns the level to go on from after another list's level l
// (ip_vs_wrr_dest_changed).
func (s *weightedRoundRobin) nearest(l uint32) uint32 {
	switch {
	case l > s.top || l == 0:
		return s.top
	case s.step > 1:
		return min(l/s.step*s.step+1, s.top)
	}
	return l
}

// below returns the level of the pass after one of level l.
func (s *weightedRoundRobin) below(l uint32) uint32 {
	if l <= s.step {
		return s.top
	}
	return l - s.step
}

// Schedule implements service.Scheduler.
func (s *weightedRoundRobin) Schedule(*service.Request) *service.RealServer {
	for {
		now := s.cursor.Load()
		next, level := s.next(unpack(now))
		if next < 0 {
			return nil
		}
		if s.cursor.CompareAndSwap(now, pack(next+1, level)) {
			return s.servers[next]
		}
	}
}

// next returns the server that comes next after a place in the round, and the level of the
// pass that it is in; -1 if no server is available.
func (s *weightedRoundRobin) next(passed int, level uint32) (int, uint32) {
	if i := s.find(passed, level); i >= 0 {
		return i, level
	}
	level = s.below(level)
	if i := s.find(0, level); i >= 0 {
		return i, level
	}
	// A whole pass found nobody. The heaviest servers are in every pass, so they are
	// not available: the first of the heaviest that are not is where the passes lead.
	first := -1
	for i, r := range s.servers {
		if r.Available() && (first < 0 || r.Weight > s.servers[first].Weight) {
			first = i
		}
	}
	if first < 0 {
		return -1, 0
	}
	return first, s.levelOf(uint32(s.servers[first].Weight))
}

// find returns the first server from index i on that is in a pass of that level and not
// available, or -1.
func (s *weightedRoundRobin) find(i int, level uint32) int {
	for {
		i = s.weights.first(i, level)
		if i < 0 || s.servers[i].Available() {
			return i
		}
		i++
	}
}

func gcd(a, b uint32) uint32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// maxTree finds the next server of at least some weight among a thousand in about ten
// steps. It is a complete binary tree in an array: node n has the children 2n and 2n+1,
// node 1 is the root, the weights are the leaves, and every other node has the greater of
// its children's weights.
type maxTree []uint32

func newMaxTree(servers list) maxTree {
	if len(servers) == 0 {
		return nil
	}
	leaves := 1 << bits.Len(uint(len(servers)-1))
	t := make(maxTree, 2*leaves)
	for i, r := range servers {
		t[leaves+i] = uint32(r.Weight)
	}
	for n := leaves - 1; n > 0; n-- {
		t[n] = max(t[2*n], t[2*n+1])
	}
	return t
}

// max returns the greatest weight, 0 if there is none.
func (t maxTree) max() uint32 {
	if len(t) == 0 {
		return 0
	}
	return t[1]
}

// first returns the index of the first weight from index i on that is at least w (> 0), or
// -1.
func (t maxTree) first(i int, w uint32) int {
	leaves := len(t) / 2
	if i >= leaves {
		return -1
	}
	n := leaves + i
	for t[n] < w {
		for n&1 == 1 { // a right child: what follows it is beside one of its ancestors
			n >>= 1
		}
		if n == 0 { // past the root
			return -1
		}
		n++
	}
	for n < leaves {
		n *= 2
		if t[n] < w {
			n++
		}
	}
	return n - leaves
}
