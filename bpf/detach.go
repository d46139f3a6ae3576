package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
)

// Detach removes all that a director left: the pinned links, maps and tables
// of the directory, and our program where it sits on an interface of this
// network namespace without a link. It returns what it removed, in words. It
// fails if a director has the directory open, and leaves other programs alone.
func Detach(dir string) (removed []string, err error) {
	removed, err = detachPinned(dir)
	if err != nil {
		return removed, err
	}
	links, err := netlink.LinkList()
	if err != nil {
		return removed, fmt.Errorf("list interfaces: %w", err)
	}
	var errs []error
	for _, at := range links {
		x := at.Attrs().Xdp
		if x == nil || !x.Attached || x.ProgId == 0 {
			continue
		}
		e := occupant(at)
		if e.Name != steerProgXlvsSteer || e.Link != 0 {
			continue
		}
		if err := netlink.LinkSetXdpFdWithFlags(at, -1, netlinkFlags(x.AttachMode)); err != nil {
			errs = append(errs, fmt.Errorf("remove program %d from %s: %w", e.ID, e.Interface, err))
			continue
		}
		removed = append(removed, fmt.Sprintf("program %d on %s", e.ID, e.Interface))
	}
	return removed, errors.Join(errs...)
}

// detachPinned removes what is in a pin directory, and the directory.
func detachPinned(dir string) (removed []string, err error) {
	lock, err := lockDir(filepath.Clean(dir))
	if errors.Is(err, errDirGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d := &Pins{path: filepath.Clean(dir), dir: lock}
	defer func() { err = errors.Join(err, d.Close()) }()

	removed, err = d.removeLinks()
	if err != nil {
		return removed, err
	}
	for _, name := range slices.Concat([]string{tablesPin, tablesPin + newSuffix}, mapPins, formerPins) {
		path := filepath.Join(d.path, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := remove(path); err != nil {
			return removed, err
		}
		removed = append(removed, path)
	}
	return removed, nil
}
