package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AttachMode is where on an interface's receive path the program runs.
type AttachMode uint8

// The attach modes.
const (
	// Auto is Native where the driver has it, Generic where it has not. A driver
	// that has it and refuses is an error, not a reason to be slow.
	Auto AttachMode = iota
	// Native runs in the driver, before the kernel makes a packet of the frame.
	Native
	// Generic runs in the kernel's receive path, after it did. Every interface has it.
	Generic
)

// String is the mode's name in the configuration and in listings.
func (m AttachMode) String() string {
	switch m {
	case Native:
		return "native"
	case Generic:
		return "generic"
	}
	return "auto"
}

func (m AttachMode) flags() link.XDPAttachFlags {
	if m == Generic {
		return link.XDPGenericMode
	}
	return link.XDPDriverMode
}

// Attach attaches the program to an interface and returns the mode it runs in.
// What is attached already, by this process or pinned by an earlier one, stays
// attached: an earlier one's program is exchanged for this one, in place, and
// only a mode that was asked for by name and is not the present one makes it
// detach first. Foreign programs: see [OccupiedError] and Options.Replace.
//
// If nobody told what MAC addresses the interface has (SetLocals), Attach tells its own.
func (s *Steering) Attach(ifindex int, mode AttachMode) (AttachMode, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pins != nil {
		if err := s.removeStaleLinks(); err != nil {
			return Auto, err
		}
	}
	at, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return Auto, fmt.Errorf("attach to interface %d: %w", ifindex, err)
	}
	name := at.Attrs().Name
	if err := s.tellOwnLocked(at); err != nil {
		return Auto, fmt.Errorf("attach to %s: %w", name, err)
	}
	obtained, err := s.attachLocked(at, mode)
	if err != nil {
		return Auto, fmt.Errorf("attach to %s: %w", name, err)
	}
	return obtained, nil
}

// attachLocked needs mu.
func (s *Steering) attachLocked(at netlink.Link, mode AttachMode) (AttachMode, error) {
	index := at.Attrs().Index
	mine, err := s.ownLinkLocked(at)
	if err != nil {
		return Auto, err
	}
	if mine != nil {
		now := attachedMode(at)
		if mode == Auto || mode == now {
			return now, s.refresh(mine)
		}
		if err := s.detachLinkLocked(index); err != nil {
			return Auto, err
		}
	} else if err := s.makeRoom(at); err != nil {
		return Auto, err
	}
	return s.create(at, mode)
}

// ownLinkLocked returns our link on the interface: the one of this process, or
// one that is pinned and really is what runs there. None is nil. It needs mu.
func (s *Steering) ownLinkLocked(at netlink.Link) (link.Link, error) {
	index := at.Attrs().Index
	l := s.links[index]
	if l == nil {
		if s.pins == nil {
			return nil, nil
		}
		var err error
		l, err = link.LoadPinnedLink(s.pins.linkPath(index), nil)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	info, err := l.Info()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if runs := at.Attrs().Xdp; runs != nil && runs.Attached && runs.ProgId == uint32(info.Program) {
		s.links[index] = l
		return l, nil
	}
	// Detached by somebody, or of another network namespace: of no use here.
	delete(s.links, index)
	err = l.Close()
	if s.pins != nil {
		err = errors.Join(err, remove(s.pins.linkPath(index)))
	}
	return nil, err
}

// refresh makes a link run this program, if it does not yet. An earlier process's is never
// the same one: each has the tables of its own.
func (s *Steering) refresh(l link.Link) error {
	info, err := l.Info()
	if err != nil {
		return err
	}
	ours, err := s.objects.XlvsSteer.Info()
	if err != nil {
		return err
	}
	if id, _ := ours.ID(); id == info.Program {
		return nil
	}
	if err := l.Update(s.objects.XlvsSteer); err != nil {
		return fmt.Errorf("exchange program %d: %w", info.Program, err)
	}
	return nil
}

// create makes the link, and pins it unless ephemeral.
func (s *Steering) create(at netlink.Link, mode AttachMode) (AttachMode, error) {
	try := mode
	if mode == Auto {
		try = Native
	}
	l, err := s.attachXDP(at, try)
	if mode == Auto && errors.Is(err, unix.EOPNOTSUPP) {
		try = Generic
		l, err = s.attachXDP(at, try)
	}
	if err != nil {
		return Auto, attachError(at, try, err)
	}
	index := at.Attrs().Index
	if s.pins != nil {
		if err := l.Pin(s.pins.linkPath(index)); err != nil {
			return Auto, errors.Join(fmt.Errorf("pin link: %w", err), l.Close())
		}
	}
	s.links[index] = l
	return try, nil
}

func (s *Steering) attachXDP(at netlink.Link, mode AttachMode) (link.Link, error) {
	return link.AttachXDP(link.XDPOptions{
		Program:   s.objects.XlvsSteer,
		Interface: at.Attrs().Index,
		Flags:     mode.flags(),
	})
}

// singleBufferMTU is about what a driver takes in one page of 4 KiB (3498 to
// 3520 with most). The program has no multi-buffer support.
const singleBufferMTU = 3498

// attachError says what to do about what the kernel's errno means.
func attachError(at netlink.Link, mode AttachMode, err error) error {
	mtu := at.Attrs().MTU
	switch {
	case errors.Is(err, unix.EOPNOTSUPP) && mode == Native:
		return fmt.Errorf("its driver has no native XDP; use mode generic: %w", err)
	case (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE)) && mode == Native:
		return fmt.Errorf("its driver refused; if its MTU (%d), or its peer's if it is a veth, is above the driver's limit "+
			"for XDP in one buffer (%d or less), lower it (ip link set %s mtu 1500), else switch off LRO and hardware GRO (ethtool -K), "+
			"or use mode generic: %w", mtu, singleBufferMTU, at.Attrs().Name, err)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("it has fewer receive queues than its peer has transmit queues, or too few spare queues for XDP; "+
			"see ethtool -L: %w", err)
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		return fmt.Errorf("another XDP program came in between: %w", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("be root, or have CAP_NET_ADMIN and CAP_BPF: %w", err)
	}
	return err
}

// Detach takes the program off an interface, and the interface's sockets out of
// the map. It is no error if the program is not there.
func (s *Steering) Detach(ifindex int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.detachLocked(ifindex)
}

// detachLocked needs mu.
func (s *Steering) detachLocked(ifindex int) error {
	err := errors.Join(s.detachLinkLocked(ifindex), s.releaseSlotLocked(ifindex))
	if err != nil {
		return fmt.Errorf("detach from interface %d: %w", ifindex, err)
	}
	return nil
}

// detachLinkLocked detaches and unpins our link on an interface. It needs mu.
func (s *Steering) detachLinkLocked(ifindex int) error {
	l := s.links[ifindex]
	delete(s.links, ifindex)
	if l != nil {
		if err := errors.Join(l.Detach(), l.Close()); err != nil {
			return err
		}
	}
	if s.pins == nil {
		return nil
	}
	path := s.pins.linkPath(ifindex)
	if l == nil {
		err := removeLink(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return remove(path)
}

// Attached returns the interfaces that the program is attached to: by this
// process, or pinned by an earlier one, which this one may want to Detach.
func (s *Steering) Attached() ([]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []int
	for index := range s.links {
		list = append(list, index)
	}
	if s.pins != nil {
		pins, err := s.pins.linkPins()
		if err != nil {
			return nil, err
		}
		for index := range pins {
			list = append(list, index)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// removeStaleLinks removes the pins of links whose interface is gone: the
// kernel keeps such a link, attached to nothing.
func (s *Steering) removeStaleLinks() error {
	pins, err := s.pins.linkPins()
	if err != nil {
		return err
	}
	for index, path := range pins {
		l, err := link.LoadPinnedLink(path, nil)
		if err != nil {
			return fmt.Errorf("pinned link %s: %w", path, err)
		}
		info, err := l.Info()
		err = errors.Join(err, l.Close())
		if err != nil {
			return fmt.Errorf("pinned link %s: %w", path, err)
		}
		if x := info.XDP(); x != nil && x.Ifindex == uint32(index) {
			continue
		}
		if err := remove(path); err != nil {
			return err
		}
		if l := s.links[index]; l != nil {
			delete(s.links, index)
			if err := l.Close(); err != nil {
				return err
			}
		}
		if err := s.releaseSlotLocked(index); err != nil {
			return err
		}
	}
	return nil
}
