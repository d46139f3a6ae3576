package table

import (
	"github.com/dgraph-io/ristretto/v2"
)

var kindRistretto = kind{
	name: "ristretto",
	description: "ristretto v2: ten counters an entry, cost 1 an entry, 64 buffered gets, no metrics, as its documentation " +
		"advises; SetWithTTL; it has no insert-if-absent, so a new client is a Get and a Set",
	noExpire: "it removes entries by a clock of its own that nothing else can move",
	open:     openRistretto,
}

type ristrettoStore struct {
	cache *ristretto.Cache[uint64, uint32]
}

func openRistretto(capacity int) (store, error) {
	cache, err := ristretto.NewCache(&ristretto.Config[uint64, uint32]{
		NumCounters: 10 * int64(capacity), MaxCost: int64(capacity), BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, err
	}
	return &ristrettoStore{cache}, nil
}

func (s *ristrettoStore) insert(clients []uint32) {
	for _, n := range clients {
		s.cache.SetWithTTL(clientKey(n), serverOf(n), 1, lifetime)
	}
}

func (s *ristrettoStore) lookup(clients []uint32) (found int) {
	for _, n := range clients {
		if server, ok := s.cache.Get(clientKey(n)); ok && server == serverOf(n) {
			found++
		}
	}
	return found
}

func (s *ristrettoStore) assign(client, server uint32) uint32 {
	key := clientKey(client)
	if have, ok := s.cache.Get(key); ok {
		return have
	}
	s.cache.SetWithTTL(key, server, 1, lifetime)
	return server
}

func (s *ristrettoStore) settle() { s.cache.Wait() }

func (s *ristrettoStore) expire() int { return 0 }

func (s *ristrettoStore) memory() int { return 0 }

func (s *ristrettoStore) close() { s.cache.Close() }
