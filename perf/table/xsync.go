package table

import "github.com/puzpuzpuz/xsync/v4"

// The library hashes keys as package maphash does: integers fast, anything else field by
// field.

var kindXsync = kind{
	name:        "xsync.Map",
	description: "xsync.Map v4: made for the number of entries; LoadOrStore; expiry in the value, removed by DeleteMatching",
	open:        openXsync(connectionKey),
}

var kindXsync64 = kind{
	name:        "xsync.Map/64",
	description: "the same with keys of 64 bits, which leave out where a client goes to: of use to a balancer of one service alone",
	open:        openXsync(clientKey),
}

type xsyncStore[K comparable] struct {
	m   *xsync.Map[K, lease]
	key func(client uint32) K
}

func openXsync[K comparable](key func(uint32) K) func(int) (store, error) {
	return func(capacity int) (store, error) {
		return &xsyncStore[K]{xsync.NewMap[K, lease](xsync.WithPresize(capacity)), key}, nil
	}
}

func (s *xsyncStore[K]) insert(clients []uint32) {
	for _, n := range clients {
		s.m.LoadOrStore(s.key(n), leaseFor(serverOf(n)))
	}
}

func (s *xsyncStore[K]) lookup(clients []uint32) (found int) {
	for _, n := range clients {
		if l, ok := s.m.Load(s.key(n)); ok && l.server == serverOf(n) {
			found++
		}
	}
	return found
}

func (s *xsyncStore[K]) assign(client, server uint32) uint32 {
	key := s.key(client)
	if l, ok := s.m.Load(key); ok {
		return l.server
	}
	l, _ := s.m.LoadOrStore(key, leaseFor(server))
	return l.server
}

func (s *xsyncStore[K]) settle() {}

func (s *xsyncStore[K]) expire() (left int) {
	s.m.DeleteMatching(func(_ K, l lease) (remove, stop bool) { return l.expires < afterLife, false })
	return s.m.Size()
}

func (s *xsyncStore[K]) memory() int { return 0 }

func (s *xsyncStore[K]) close() {}
