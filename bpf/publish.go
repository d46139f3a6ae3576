package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/cilium/ebpf"
)

// publish writes c beside what is in force and puts it in force by one write.
//
//	prefixes[0] -> entries, each with the generation g
//	ports[g], sources[g], conditions[g]
//
// The other generation's slots are nobody's while g is in force: a write to a
// map of maps returns after the last frame that saw the old one is done
// (maybe_wait_bpf_programs, kernel/bpf/syscall.c), so publish finds them free.
// The caller must hold mu.
func (s *Steering) publish(c *claims) error {
	next := 1 - s.generation
	if err := putInner(s.objects.Ports, next, s.inner.ports, len(c.sets), func(m *ebpf.Map) error {
		return putAll(m, c.sets)
	}); err != nil {
		return err
	}
	if len(c.sources) > 0 { // else no entry refers to any, and a write is slow, as it waits
		if err := s.publishWalks(c, next); err != nil {
			return err
		}
	}
	if err := putInner(s.objects.Prefixes, 0, s.inner.entries, len(c.entries), func(m *ebpf.Map) error {
		return putEntries(m, c.entries, next)
	}); err != nil {
		return err
	}
	s.generation, s.published = next, c
	return s.objects.Settings.Put(uint32(steerSettingGENERATION), next)
}

// publishWalks is publish for sources and conditions.
func (s *Steering) publishWalks(c *claims, next uint32) error {
	if err := putInner(s.objects.Conditions, next, s.inner.conditions, len(c.conditions), func(m *ebpf.Map) error {
		return putAll(m, c.conditions)
	}); err != nil {
		return err
	}
	return putInner(s.objects.Sources, next, s.inner.sources, len(c.sources), func(m *ebpf.Map) error {
		for from, span := range c.sources {
			if err := m.Put(prefixKey(from.walk, from.prefix), &span); err != nil {
				return fmt.Errorf("%s: %w", from.prefix, err)
			}
		}
		return nil
	})
}

// innerSpecs are the maps inside the maps of maps, to be sized.
type innerSpecs struct{ entries, ports, sources, conditions *ebpf.MapSpec }

// innerSpec takes the inner map of one of the program's maps of maps.
func innerSpec(spec *ebpf.CollectionSpec, name string) *ebpf.MapSpec {
	inner := spec.Maps[name].InnerMap.Copy()
	inner.Name = name
	return inner
}

// putInner makes an inner map for so many entries, has it filled, and puts it in place.
func putInner(outer *ebpf.Map, slot uint32, spec *ebpf.MapSpec, entries int, fill func(*ebpf.Map) error) error {
	spec = spec.Copy()
	spec.MaxEntries = uint32(max(entries, 1))
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return fmt.Errorf("make map %s of %d entries: %w", spec.Name, spec.MaxEntries, err)
	}
	defer m.Close()
	if err := fill(m); err != nil {
		return fmt.Errorf("fill map %s: %w", spec.Name, err)
	}
	if err := outer.Put(slot, m); err != nil {
		return fmt.Errorf("map %s: %w", spec.Name, err)
	}
	return nil
}

// putAll fills an array.
func putAll[T any](m *ebpf.Map, values []T) error {
	for i := range values {
		if err := m.Put(uint32(i), &values[i]); err != nil {
			return err
		}
	}
	return nil
}

func putEntries(m *ebpf.Map, entries map[netip.Prefix]steerEntry, generation uint32) error {
	for p, e := range entries {
		e.Generation = generation
		space := uint32(6)
		if p.Addr().Is4() {
			space = 4
		}
		if err := m.Put(prefixKey(space, p), &e); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// prefixKey is a prefix as the program looks it up, within a space.
func prefixKey(space uint32, p netip.Prefix) *steerPrefix {
	const spaceBits = 32
	return &steerPrefix{Length: uint32(spaceBits + p.Bits()), Space: space, Addr: words(p.Addr())}
}

// words are an address's, in network byte order; an IPv4 address has one.
func words(a netip.Addr) (w [4]uint32) {
	b := a.AsSlice()
	for i := range len(b) / 4 {
		w[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return w
}

// activeGeneration asks the entries in force for their generation. They are the
// truth, as a director may have died between two writes; but opening a map by
// its number takes CAP_SYS_ADMIN, and without it the word in settings must do.
func (s *Steering) activeGeneration() (generation uint32, err error) {
	var trie *ebpf.Map
	err = s.objects.Prefixes.Lookup(uint32(0), &trie)
	switch {
	case errors.Is(err, ebpf.ErrKeyNotExist):
		return 0, nil
	case errors.Is(err, fs.ErrPermission):
		err = s.objects.Settings.Lookup(uint32(steerSettingGENERATION), &generation)
		return generation, err
	case err != nil:
		return 0, fmt.Errorf("rules in force: %w", err)
	}
	defer trie.Close()
	var key steerPrefix
	var entry steerEntry
	entries := trie.Iterate()
	if entries.Next(&key, &entry) {
		return entry.Generation, nil
	}
	if err := entries.Err(); err != nil {
		return 0, fmt.Errorf("rules in force: %w", err)
	}
	return 0, nil // no entry: both generations are free
}
