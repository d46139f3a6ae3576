package table

import (
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

var kindOtter = kind{
	name: "otter",
	description: "otter v2: bounded and made for the number of entries; expiry counted from writing, so that reading writes nothing; " +
		"SetIfAbsent; a clock of ours that costs one load",
	open: openOtter,
}

type otterStore struct {
	cache *otter.Cache[uint64, uint32]
	clock *standingClock
}

// standingClock moves when it is told to.
type standingClock struct{ now atomic.Int64 }

func (c *standingClock) NowNano() int64 { return c.now.Load() }

func (c *standingClock) Tick(time.Duration) <-chan time.Time { return nil }

func openOtter(capacity int) (store, error) {
	clock := &standingClock{}
	clock.now.Store(int64(time.Hour))
	cache, err := otter.New(&otter.Options[uint64, uint32]{
		MaximumSize: capacity, InitialCapacity: capacity, Clock: clock,
		ExpiryCalculator: otter.ExpiryWriting[uint64, uint32](lifetime),
	})
	if err != nil {
		return nil, err
	}
	return &otterStore{cache, clock}, nil
}

func (s *otterStore) insert(clients []uint32) {
	for _, n := range clients {
		s.cache.SetIfAbsent(clientKey(n), serverOf(n))
	}
}

func (s *otterStore) lookup(clients []uint32) (found int) {
	for _, n := range clients {
		if server, ok := s.cache.GetIfPresent(clientKey(n)); ok && server == serverOf(n) {
			found++
		}
	}
	return found
}

func (s *otterStore) assign(client, server uint32) uint32 {
	key := clientKey(client)
	if have, ok := s.cache.GetIfPresent(key); ok {
		return have
	}
	now, _ := s.cache.SetIfAbsent(key, server)
	return now
}

func (s *otterStore) settle() { s.cache.CleanUp() }

// expire calls for a clean-up as long as it gets any further.
func (s *otterStore) expire() (left int) {
	s.clock.now.Add(int64(lifetime + time.Hour))
	for left = s.cache.EstimatedSize(); left > 0; {
		s.cache.CleanUp()
		next := s.cache.EstimatedSize()
		if next == left {
			break
		}
		left = next
	}
	return left
}

func (s *otterStore) memory() int { return 0 }

func (s *otterStore) close() { s.cache.StopAllGoroutines() }
