package sched

import (
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// The hash table of sh and dh (CONFIG_IP_VS_SH_TAB_BITS, CONFIG_IP_VS_DH_TAB_BITS).
const (
	hashBits    = 8
	hashBuckets = 1 << hashBits
)

// fold returns an address as the 32-bit number that IPVS hashes: an IPv4 address in host
// order, the four words of an IPv6 address XORed.
func fold(a packet.Addr) uint32 {
	if a.Is4() {
		return a.V4()
	}
	w := a.Hi ^ a.Lo
	return uint32(w>>32) ^ uint32(w)
}

// hash32 is hash_32 of linux/hash.h: the high bits of a product with the golden ratio.
func hash32(v uint32) uint32 { return v * 0x61C88647 >> (32 - hashBits) }

// client returns the number that sh and mh hash for a packet: its folded source address,
// and its source port if asked for and there is one.
func client(t *packet.Tuple, port bool) uint32 {
	n := fold(t.Src)
	if port {
		switch t.Protocol {
		case packet.TCP, packet.UDP, packet.SCTP:
			n += uint32(t.SrcPort)
		}
	}
	return n
}

// sourceHash is sh (ip_vs_sh.c): the client's address, hashed, names the server.
type sourceHash struct {
	flags   flags
	buckets [hashBuckets]*service.RealServer
	servers list
}

// newSourceHash fills the buckets in turn, each server as many as its weight, round and
// round. A quiesced server has one as well; those that come when all are taken have none
// (ip_vs_sh_reassign).
func newSourceHash(servers list, f flags, _ Options) (service.Scheduler, error) {
	s := &sourceHash{flags: f, servers: servers}
	for i := 0; len(servers) > 0 && i < hashBuckets; {
		for _, r := range servers {
			for range max(r.Weight, 1) {
				if i == hashBuckets {
					return s, nil
				}
				s.buckets[i] = r
				i++
			}
		}
	}
	return s, nil
}

// Schedule implements service.Scheduler. Without sh-fallback the clients of a server that
// is not available have none.
func (s *sourceHash) Schedule(r *service.Request) *service.RealServer {
	hash := hash32(client(&r.Tuple, s.flags.port))
	real := s.buckets[hash]
	if real == nil || real.Available() {
		return real
	}
	if !s.flags.fallback || !s.servers.anyAvailable() {
		return nil
	}
	for offset := hash; offset < hash+hashBuckets; offset++ { // ip_vs_sh_get_fallback
		if real := s.buckets[(offset+hash)%hashBuckets]; real.Available() {
			return real
		}
	}
	return nil
}

// destinationHash is dh (ip_vs_dh.c): the virtual address, hashed, names the server;
// weights only tell who is quiesced.
type destinationHash struct {
	buckets [hashBuckets]*service.RealServer
}

func newDestinationHash(servers list, _ flags, _ Options) (service.Scheduler, error) {
	s := new(destinationHash)
	for i := range s.buckets {
		if len(servers) > 0 {
			s.buckets[i] = servers[i%len(servers)]
		}
	}
	return s, nil
}

// Schedule implements service.Scheduler.
func (s *destinationHash) Schedule(r *service.Request) *service.RealServer {
	real := s.buckets[hash32(fold(r.Tuple.Dst))]
	if real == nil || !real.Available() {
		return nil
	}
	return real
}
