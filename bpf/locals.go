package bpf

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// MAC is an Ethernet address.
type MAC = [6]byte

// MaxLocals is how many MAC addresses all interfaces together may have, one for each
// interface included.
const MaxLocals = 16384

// The sets of addresses that are at hand in the program (struct own_macs).
const (
	ownSets = len(steerOwn{})
	ownMACs = len(steerOwnMacs{}.Macs)
)

// steerOwn is the program's variable own.
type steerOwn [64]steerOwnMacs

// SetLocals says which MAC addresses frames for us have, by the index of the interface that
// they come by. A unicast frame for another one is the kernel's, and counts as OtherHost.
// It replaces all that was said before, but for interfaces that the program is attached to
// and that locals does not name. A packet meanwhile sees the old ones or the new ones.
//
// Of an interface that was never named the program takes every frame, whatever it is
// addressed to; so it does in tests. Attach names the interface with its own address.
func (s *Steering) SetLocals(locals map[int][]MAC) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(locals)
	for index := range s.links {
		if _, named := next[index]; !named {
			next[index] = s.locals[index]
		}
	}
	return s.setLocalsLocked(next)
}

// tellOwnLocked tells of an interface's own address if nobody told of the interface. It
// needs mu.
func (s *Steering) tellOwnLocked(at netlink.Link) error {
	index, address := at.Attrs().Index, at.Attrs().HardwareAddr
	if _, told := s.locals[index]; told || len(address) != len(MAC{}) {
		return nil
	}
	next := maps.Clone(s.locals)
	next[index] = []MAC{MAC(address)}
	return s.setLocalsLocked(next)
}

// SetPartial says by which interfaces frames with partial checksums may come, as by a veth:
// those go to the workers, who complete them. It replaces all that was said before.
func (s *Steering) SetPartial(interfaces map[int]bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if maps.Equal(s.partial, interfaces) {
		return nil
	}
	s.partial = maps.Clone(interfaces)
	return s.setLocalsLocked(s.locals)
}

// setLocalsLocked puts locals in force, and what is known of checksums. It needs mu.
func (s *Steering) setLocalsLocked(locals map[int][]MAC) error {
	was, now := localKeys(s.locals), localKeys(locals)
	if len(now) > MaxLocals {
		return fmt.Errorf("%d MAC addresses of all interfaces: at most %d", len(now), MaxLocals)
	}
	for key := range now {
		if err := s.objects.Locals.Put(&key, uint8(s.partialOf(int(key.Interface)))); err != nil {
			return fmt.Errorf("map locals: %w", err)
		}
	}
	if err := s.objects.Own.Set(s.ownOf(locals)); err != nil {
		return fmt.Errorf("MAC addresses at hand: %w", err)
	}
	for key := range was {
		if _, stays := now[key]; stays {
			continue
		}
		err := s.objects.Locals.Delete(&key)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("map locals: %w", err)
		}
	}
	s.locals = locals
	return nil
}

// partialOf is what the program is told of an interface's checksums.
func (s *Steering) partialOf(index int) uint32 {
	if s.partial[index] {
		return 1
	}
	return 0
}

// localKeys are the keys of the map locals: each interface with each of its addresses, and
// with none, which says that it was told of.
func localKeys(locals map[int][]MAC) map[steerLocal]struct{} {
	keys := map[steerLocal]struct{}{}
	for index, macs := range locals {
		keys[steerLocal{Interface: uint32(index)}] = struct{}{}
		for _, mac := range macs {
			keys[steerLocal{Interface: uint32(index), Mac: mac}] = struct{}{}
		}
	}
	return keys
}

// ownOf is what of locals fits into the sets at hand. Two interfaces of one set are rare:
// the second does without. While the kernel may stand in, the program asks each time
// whether it does, and not by the fast path.
func (s *Steering) ownOf(locals map[int][]MAC) *steerOwn {
	sets := new(steerOwn)
	if s.standsIn {
		return sets
	}
	for _, index := range slices.Sorted(maps.Keys(locals)) {
		set := &sets[index%ownSets]
		if set.Interface != 0 {
			continue
		}
		set.Interface, set.Partial = uint32(index), s.partialOf(index)
		for i, mac := range locals[index][:min(len(locals[index]), ownMACs)] {
			for n, b := range mac {
				set.Macs[i] |= uint64(b) << (8 * n)
			}
		}
	}
	return sets
}
