package table

import "github.com/puzpuzpuz/xsync/v4"

var kindXsync = kind{
	name:        "xsync.Map",
	description: "xsync.Map v4: made for the number of entries; LoadOrStore; expiry in the value, removed by DeleteMatching",
	open: func(capacity int) (store, error) {
		return &xsyncStore{xsync.NewMap[uint64, lease](xsync.WithPresize(capacity))}, nil
	},
}

type xsyncStore struct {
	m *xsync.Map[uint64, lease]
}

func (s *xsyncStore) insert(clients []uint32) {
	for _, n := range clients {
		s.m.LoadOrStore(clientKey(n), leaseFor(serverOf(n)))
	}
}

func (s *xsyncStore) lookup(clients []uint32) (found int) {
	for _, n := range clients {
		if l, ok := s.m.Load(clientKey(n)); ok && l.server == serverOf(n) {
			found++
		}
	}
	return found
}

func (s *xsyncStore) assign(client, server uint32) uint32 {
	key := clientKey(client)
	if l, ok := s.m.Load(key); ok {
		return l.server
	}
	l, _ := s.m.LoadOrStore(key, leaseFor(server))
	return l.server
}

func (s *xsyncStore) settle() {}

func (s *xsyncStore) expire() (left int) {
	s.m.DeleteMatching(func(_ uint64, l lease) (remove, stop bool) { return l.expires < afterLife, false })
	return s.m.Size()
}

func (s *xsyncStore) memory() int { return 0 }

func (s *xsyncStore) close() {}
