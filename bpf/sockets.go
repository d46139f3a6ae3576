package bpf

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
)

// slots are the places of interfaces in the map of sockets: the socket of queue
// q is at slot*MaxQueues+q.
type slots map[int]uint32

func readSlots(m *ebpf.Map) (slots, error) {
	s := slots{}
	var index, slot uint32
	entries := m.Iterate()
	for entries.Next(&index, &slot) {
		s[int(index)] = slot
	}
	if err := entries.Err(); err != nil {
		return nil, fmt.Errorf("map interfaces: %w", err)
	}
	return s, nil
}

// free returns a slot that no interface has, and whether there is one.
func (s slots) free() (uint32, bool) {
	var taken [MaxInterfaces]bool
	for _, slot := range s {
		taken[slot] = true
	}
	for slot, t := range taken {
		if !t {
			return uint32(slot), true
		}
	}
	return 0, false
}

// Register gives the frames of one receive queue to an AF_XDP socket, by its
// descriptor. The socket must have its receive ring; the kernel takes it out
// again when it is closed. Register before Attach, or after it; a socket that is
// there already is replaced.
func (s *Steering) Register(ifindex int, queue uint32, fd int) error {
	if queue >= MaxQueues {
		return fmt.Errorf("interface %d: queue %d: at most %d queues; reduce them with ethtool -L", ifindex, queue, MaxQueues)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	slot, err := s.slotLocked(ifindex)
	if err != nil {
		return fmt.Errorf("interface %d: %w", ifindex, err)
	}
	if err := s.objects.Sockets.Put(slot*MaxQueues+queue, uint32(fd)); err != nil {
		return fmt.Errorf("register socket of interface %d, queue %d: %w", ifindex, queue, err)
	}
	return nil
}

// Unregister takes the socket of a queue away; none is no error.
func (s *Steering) Unregister(ifindex int, queue uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot, ok := s.slots[ifindex]
	if !ok || queue >= MaxQueues {
		return nil
	}
	err := s.objects.Sockets.Delete(slot*MaxQueues + queue)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("unregister socket of interface %d, queue %d: %w", ifindex, queue, err)
	}
	return nil
}

// slotLocked returns an interface's slot and finds one for a new interface. It
// needs mu.
func (s *Steering) slotLocked(ifindex int) (uint32, error) {
	if slot, ok := s.slots[ifindex]; ok {
		return slot, nil
	}
	slot, ok := s.slots.free()
	if !ok {
		s.dropVanishedLocked()
		if slot, ok = s.slots.free(); !ok {
			return 0, fmt.Errorf("%d interfaces have sockets already", MaxInterfaces)
		}
	}
	// Another interface may have had the slot: its sockets would refuse our frames.
	if err := s.clearSlot(slot); err != nil {
		return 0, err
	}
	if err := s.objects.Interfaces.Put(uint32(ifindex), slot); err != nil {
		return 0, fmt.Errorf("map interfaces: %w", err)
	}
	s.slots[ifindex] = slot
	return slot, nil
}

func (s *Steering) clearSlot(slot uint32) error {
	for queue := range uint32(MaxQueues) {
		err := s.objects.Sockets.Delete(slot*MaxQueues + queue)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("map sockets: %w", err)
		}
	}
	return nil
}

// releaseSlotLocked forgets an interface's slot and its sockets. It needs mu.
func (s *Steering) releaseSlotLocked(ifindex int) error {
	slot, ok := s.slots[ifindex]
	if !ok {
		return nil
	}
	delete(s.slots, ifindex)
	err := s.objects.Interfaces.Delete(uint32(ifindex))
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		err = nil
	}
	return errors.Join(err, s.clearSlot(slot))
}

// dropVanishedLocked frees the slots of interfaces that are no more. It needs mu.
func (s *Steering) dropVanishedLocked() {
	for ifindex := range s.slots {
		if _, err := net.InterfaceByIndex(ifindex); err != nil {
			_ = s.releaseSlotLocked(ifindex) // what could not be freed is not free, which the caller sees
		}
	}
}
