package sched

import (
	"fmt"
	"math/bits"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// Limits of Options.MaglevIndex (CONFIG_IP_VS_MH_TAB_INDEX).
const (
	minMaglevIndex     = 8
	maxMaglevIndex     = 17
	defaultMaglevIndex = 12
)

// maglevPrimes are the sizes of the table, from minMaglevIndex on (ip_vs_mh.c).
var maglevPrimes = [...]uint32{251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071}

// The keys of the two hashes of mh (generate_hash_secret in ip_vs_mh.c).
const (
	maglevKey1 = 2654435761
	maglevKey2 = 2654446892
)

// maglev is mh (ip_vs_mh.c), Maglev hashing: the client's address, hashed, is a place in a
// table where each server has a share of the slots by its weight. A change of the servers
// moves few clients but those of the servers that changed. (Eisenbud et al., Maglev: A Fast
// and Reliable Software Network Load Balancer, NSDI 2016, 3.4.)
type maglev struct {
	flags   flags
	servers list
	size    uint32
	slots   []uint32 // indices into servers; empty if no server ever had a weight
}

func newMaglev(servers list, f flags, opt Options) (service.Scheduler, error) {
	index := opt.MaglevIndex
	if index == 0 {
		index = defaultMaglevIndex
	}
	if index < minMaglevIndex || index > maxMaglevIndex {
		return nil, fmt.Errorf("maglev index %d: use %d to %d", index, minMaglevIndex, maxMaglevIndex)
	}
	size := maglevPrimes[index-minMaglevIndex]
	if uint64(len(servers)) > uint64(size) {
		return nil, fmt.Errorf("%d servers for a table of %d slots: use a greater maglev index", len(servers), size)
	}
	s := &maglev{flags: f, servers: servers, size: size}
	if shares := maglevShares(servers, size, index/2); shares != nil {
		s.slots = populate(shares, size)
	}
	return s, nil
}

// share is one server's way through the table: the slots offset, offset+skip, offset+2*skip
// and so on are its preference, and it takes turns of them at a time.
type share struct{ next, skip, turns uint32 }

// maglevShares returns each server's share, nil if none has any. Turns are the weights by
// their greatest common divisor, halved until the greatest has no more than maxBits bits
// (IP_VS_MH_TAB_BITS), but at least 1: by default a server has at most 63 times the slots
// of another. It is the last weight that was not 0 that counts: a quiesced server keeps its
// slots, so that its clients come back to it and nobody else's move.
func maglevShares(servers list, size uint32, maxBits int) []share {
	var divisor, heaviest uint32
	for _, r := range servers {
		divisor = gcd(divisor, lastWeight(r))
		heaviest = max(heaviest, lastWeight(r))
	}
	if heaviest == 0 {
		return nil
	}
	shift := max(bits.Len32(heaviest/divisor)-maxBits, 0)
	shares := make([]share, len(servers))
	for i, r := range servers {
		name := fold(packet.AddrFrom(r.Addr)) + uint32(r.Port)
		shares[i] = share{
			next: hsiphash(name, maglevKey1) % size,
			skip: hsiphash(name, maglevKey2)%(size-1) + 1,
		}
		if w := lastWeight(r); w > 0 {
			shares[i].turns = max(w/divisor>>shift, 1)
		}
	}
	return shares
}

// lastWeight returns the last weight of a server that was not 0 (last_weight in ip_vs.h); 0
// if it never had one.
func lastWeight(r *service.RealServer) uint32 {
	if r.Weight > 0 {
		return uint32(r.Weight)
	}
	return uint32(max(r.LastWeight, 0))
}

// populate lets the servers take their preferred slots that are still free, in turn, until
// all are taken (ip_vs_mh_populate). One share at least has turns.
func populate(shares []share, size uint32) []uint32 {
	slots := make([]uint32, size)
	taken := make([]bool, size)
	for n := uint32(0); ; {
		for i := range shares {
			sh := &shares[i]
			for range sh.turns {
				for taken[sh.next] {
					sh.next = (sh.next + sh.skip) % size
				}
				taken[sh.next] = true
				slots[sh.next] = uint32(i)
				if n++; n == size {
					return slots
				}
			}
		}
	}
}

// Schedule implements service.Scheduler. Without mh-fallback the clients of a server that
// is not available have none.
func (s *maglev) Schedule(r *service.Request) *service.RealServer {
	if len(s.slots) == 0 {
		return nil
	}
	c := client(&r.Tuple, s.flags.port)
	hash := hsiphash(c, maglevKey1) % s.size
	if real := s.servers[s.slots[hash]]; real.Available() {
		return real
	}
	if !s.flags.fallback || !s.servers.anyAvailable() {
		return nil
	}
	for i := range s.size { // ip_vs_mh_get_fallback
		offset := (i + hash) % s.size
		if real := s.servers[s.slots[hsiphash(offset+c, maglevKey1)%s.size]]; real.Available() {
			return real
		}
	}
	return nil
}
