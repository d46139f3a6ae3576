package table

import "sync"

var kindSyncMap = kind{
	name:        "sync.Map",
	description: "sync.Map of the standard library: LoadOrStore; expiry in the value, removed by Range and Delete",
	open:        func(int) (store, error) { return &syncMapStore{}, nil },
}

type syncMapStore struct {
	m sync.Map // uint64 to lease
}

func (s *syncMapStore) insert(clients []uint32) {
	for _, n := range clients {
		s.m.LoadOrStore(clientKey(n), leaseFor(serverOf(n)))
	}
}

func (s *syncMapStore) lookup(clients []uint32) (found int) {
	for _, n := range clients {
		if l, ok := s.m.Load(clientKey(n)); ok && l.(lease).server == serverOf(n) {
			found++
		}
	}
	return found
}

func (s *syncMapStore) assign(client, server uint32) uint32 {
	key := clientKey(client)
	if l, ok := s.m.Load(key); ok {
		return l.(lease).server
	}
	l, _ := s.m.LoadOrStore(key, leaseFor(server))
	return l.(lease).server
}

func (s *syncMapStore) settle() {}

func (s *syncMapStore) expire() (left int) {
	s.m.Range(func(key, l any) bool {
		if l.(lease).expires < afterLife {
			s.m.Delete(key)
		} else {
			left++
		}
		return true
	})
	return left
}

func (s *syncMapStore) memory() int { return 0 }

func (s *syncMapStore) close() {}
