package bpf

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// OccupiedError says that another XDP program is on an interface. An interface
// has one, in whatever mode.
type OccupiedError struct {
	Interface string
	Mode      string        // native, generic, offload, or multiple
	ID        uint32        // the program's; 0 if the kernel does not say
	Name, Tag string        // empty if the program could not be looked at
	UID       uint32        // who loaded it
	Loaded    time.Duration // after boot
	// Link is the bpf_link that holds the program, 0 for one attached through netlink.
	Link uint32
	// Pins are where the link is pinned, Processes who has the program or its
	// link open, as far as can be told.
	Pins, Processes []string
}

// Error names the program, and says how to be rid of it.
func (e *OccupiedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s has another XDP program (%s mode): id %d", e.Interface, e.Mode, e.ID)
	if e.Tag != "" {
		fmt.Fprintf(&b, ", name %q, tag %s, loaded by uid %d, %s after boot", e.Name, e.Tag, e.UID, e.Loaded.Round(time.Second))
	}
	if len(e.Processes) > 0 {
		fmt.Fprintf(&b, ", held by %s", strings.Join(e.Processes, ", "))
	}
	switch {
	case e.Link == 0:
		fmt.Fprintf(&b, "; let its owner remove it, or have it replaced (--replace), or: ip link set dev %s xdp off", e.Interface)
	case len(e.Pins) > 0:
		fmt.Fprintf(&b, "; bpf_link %d holds it, so it cannot be replaced; its owner must detach it, or: bpftool link detach id %d && rm %s",
			e.Link, e.Link, strings.Join(e.Pins, " "))
	default:
		fmt.Fprintf(&b, "; bpf_link %d holds it, so it cannot be replaced; stop its owner, or: bpftool link detach id %d", e.Link, e.Link)
	}
	return b.String()
}

// IFLA_XDP_ATTACHED (linux/if_link.h: enum XDP_ATTACHED_*).
const (
	attachedNone = iota
	attachedDriver
	attachedGeneric
	attachedHardware
	attachedMultiple
)

// attachedMode is the mode of the program that runs on an interface.
func attachedMode(at netlink.Link) AttachMode {
	if x := at.Attrs().Xdp; x != nil && x.AttachMode == attachedGeneric {
		return Generic
	}
	return Native
}

// makeRoom makes way on an interface, or says who is in it.
func (s *Steering) makeRoom(at netlink.Link) error {
	x := at.Attrs().Xdp
	if x == nil || !x.Attached {
		return nil
	}
	e := occupant(at)
	if !s.replace || e.Link != 0 || e.ID == 0 {
		return e
	}
	if err := netlink.LinkSetXdpFdWithFlags(at, -1, netlinkFlags(x.AttachMode)); err != nil {
		return fmt.Errorf("%w; replacing it: %w", e, err)
	}
	return nil
}

// netlinkFlags are the flags that remove a program of a mode (linux/if_link.h: XDP_FLAGS_*).
func netlinkFlags(attached uint32) int {
	switch attached {
	case attachedGeneric:
		return unix.XDP_FLAGS_SKB_MODE
	case attachedHardware:
		return unix.XDP_FLAGS_HW_MODE
	}
	return unix.XDP_FLAGS_DRV_MODE
}

// occupant describes the program on an interface as well as can be.
func occupant(at netlink.Link) *OccupiedError {
	x := at.Attrs().Xdp
	e := &OccupiedError{Interface: at.Attrs().Name, ID: x.ProgId}
	switch x.AttachMode {
	case attachedDriver:
		e.Mode = "native"
	case attachedGeneric:
		e.Mode = "generic"
	case attachedHardware:
		e.Mode = "offload"
	default:
		e.Mode = "multiple"
	}
	if e.ID == 0 {
		return e
	}
	if program, err := ebpf.NewProgramFromID(ebpf.ProgramID(e.ID)); err == nil {
		defer program.Close()
		if info, err := program.Info(); err == nil {
			e.Name, e.Tag = info.Name, info.Tag
			e.UID, _ = info.CreatedByUID()
			e.Loaded, _ = info.LoadTime()
		}
	}
	e.Link = linkOf(at.Attrs().Index, e.ID)
	if e.Link != 0 {
		e.Pins = pinsOfLink(e.Link)
	}
	e.Processes = holders(e.ID, e.Link)
	return e
}

// linkOf finds the bpf_link that holds a program on an interface; 0 is none.
func linkOf(ifindex int, program uint32) uint32 {
	var links link.Iterator
	defer links.Close()
	for links.Next() {
		info, err := links.Link.Info()
		if err != nil || info.Type != link.XDPType || uint32(info.Program) != program {
			continue
		}
		if x := info.XDP(); x != nil && x.Ifindex == uint32(ifindex) {
			return uint32(info.ID)
		}
	}
	return 0
}

// pinsOfLink finds where under /sys/fs/bpf a link is pinned.
func pinsOfLink(id uint32) (paths []string) {
	_ = filepath.WalkDir(bpffsMount, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // what cannot be read cannot be named
		}
		l, err := link.LoadPinnedLink(path, nil)
		if err != nil {
			return nil // a map or a program
		}
		defer l.Close()
		if info, err := l.Info(); err == nil && uint32(info.ID) == id {
			paths = append(paths, path)
		}
		return nil
	})
	return paths
}

// holders names the processes that have a program or a link open, by /proc/*/fdinfo.
func holders(program, link uint32) (processes []string) {
	self := os.Getpid()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == self {
			continue // we have it open to look at it
		}
		files, err := filepath.Glob(dir + "/fdinfo/*")
		if err != nil {
			continue
		}
		for _, file := range files {
			if holds(file, program, link) {
				processes = append(processes, describeProcess(pid))
				break
			}
		}
	}
	return processes
}

// holds reports whether a file of fdinfo is a descriptor of the program or the link.
func holds(file string, program, link uint32) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		id, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
		if err != nil || id == 0 {
			continue
		}
		if key == "prog_id" && uint32(id) == program || key == "link_id" && uint32(id) == link {
			return true
		}
	}
	return false
}

// describeProcess names a process by pid and command.
func describeProcess(pid int) string {
	if pid <= 0 {
		return "a process of another pid namespace"
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Sprintf("pid %d", pid)
	}
	return fmt.Sprintf("pid %d (%s)", pid, strings.TrimSpace(string(name)))
}

// interfaceName is an interface's name, or its number if it is gone.
func interfaceName(index int) string {
	if i, err := net.InterfaceByIndex(index); err == nil {
		return i.Name
	}
	return fmt.Sprintf("interface %d (gone)", index)
}
