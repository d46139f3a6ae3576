package bpf

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// bpffsMount is where bpffs is mounted if PinDir has none.
const bpffsMount = "/sys/fs/bpf"

const (
	linkPrefix = "link-"  // and the interface index
	tablesPin  = "tables" // see OpenTables
	newSuffix  = "-new"   // of tables that are about to be moved into place
)

// mapPins are the names of the pinned maps: those that the next program of a director
// goes on with.
var mapPins = []string{
	steerMapConditions, steerMapCounters, steerMapExpressServers, steerMapExpressTraffic, steerMapInterfaces,
	steerMapPorts, steerMapPrefixes, steerMapSettings, steerMapSockets, steerMapSources,
}

// formerPins are those that older versions had.
var formerPins = []string{"express_header", "express_tables"}

// Pins is a directory of bpffs, in which a director keeps what outlives it. It is locked
// by its descriptor: bpffs has no regular files, and the lock goes with the process
// that holds it. A nil Pins keeps nothing.
type Pins struct {
	path string
	dir  *os.File
}

// OpenPins locks a directory under a bpffs, /sys/fs/bpf/xlvs for one; it is made if need
// be. It fails if another process has it open, and names it.
func OpenPins(path string) (*Pins, error) {
	path = filepath.Clean(path)
	for {
		if err := makePinDir(path); err != nil {
			return nil, err
		}
		dir, err := lockDir(path)
		if errors.Is(err, errDirGone) {
			continue // removed by the one who had the lock
		}
		if err != nil {
			return nil, err
		}
		return &Pins{path, dir}, nil
	}
}

// makePinDir makes the directory, on a bpffs that is mounted if need be.
func makePinDir(path string) error {
	if path == bpffsMount || strings.HasPrefix(path, bpffsMount+"/") {
		if err := mountBPFFS(bpffsMount); err != nil {
			return err
		}
	}
	ok, err := isBPFFS(existingParent(path))
	if err != nil {
		return fmt.Errorf("pin directory %s: %w", path, err)
	}
	if !ok {
		return fmt.Errorf("pin directory %s is not on a bpffs; use one under %s, or mount one: mount -t bpf bpf %s",
			path, bpffsMount, filepath.Dir(path))
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("pin directory: %w", err)
	}
	return nil
}

// existingParent is the path, or the nearest directory above it that exists.
func existingParent(path string) string {
	for path != "/" && path != "." {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		path = filepath.Dir(path)
	}
	return path
}

func isBPFFS(path string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return false, fmt.Errorf("statfs %s: %w", path, err)
	}
	return int64(st.Type) == unix.BPF_FS_MAGIC, nil
}

// mountBPFFS mounts a bpffs unless one is there. Two processes may come at
// once, and bpffs can be mounted over bpffs, so a lock on the bare mount point
// makes the second one look again.
func mountBPFFS(at string) error {
	if ok, err := isBPFFS(at); ok || err != nil {
		return err
	}
	point, err := os.Open(at)
	if err != nil {
		return fmt.Errorf("mount bpffs: %w", err)
	}
	defer point.Close()
	if err := unix.Flock(int(point.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("mount bpffs: lock %s: %w", at, err)
	}
	if ok, err := isBPFFS(at); ok || err != nil {
		return err
	}
	if err := unix.Mount("bpf", at, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount bpffs on %s (needs CAP_SYS_ADMIN; or have it mounted at boot): %w", at, err)
	}
	return nil
}

var errDirGone = errors.New("directory removed meanwhile")

// lockDir opens a directory and locks it. The error names the process that has it.
func lockDir(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errDirGone
	}
	if err != nil {
		return nil, fmt.Errorf("pin directory: %w", err)
	}
	err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%s is in use by %s: one director a pin directory", path, lockHolder(dir))
	} else if err != nil {
		err = fmt.Errorf("lock %s: %w", path, err)
	} else if now, statErr := os.Stat(path); statErr != nil {
		err = errDirGone
	} else if mine, statErr := dir.Stat(); statErr != nil || !os.SameFile(mine, now) {
		err = errDirGone
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// lockHolder names the process that holds the lock on a file, from /proc/locks:
//
//	1: FLOCK  ADVISORY  WRITE 4242 00:2a:17 0 EOF
func lockHolder(file *os.File) string {
	const unknown = "another process"
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return unknown
	}
	id := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return unknown
	}
	defer locks.Close()
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) >= 6 && f[1] == "FLOCK" && f[5] == id {
			pid, _ := strconv.Atoi(f[4])
			return describeProcess(pid)
		}
	}
	return unknown
}

// Close lets go of the directory, and removes it if nothing is in it. Closing twice does no
// harm.
func (d *Pins) Close() error {
	if d == nil || d.dir == nil {
		return nil
	}
	err := d.removeIfEmpty() // under the lock
	err = errors.Join(err, d.dir.Close())
	d.dir = nil
	return err
}

func (d *Pins) linkPath(ifindex int) string {
	return filepath.Join(d.path, linkPrefix+strconv.Itoa(ifindex))
}

// linkPins returns the paths of the pinned links, by the interface index in their names.
func (d *Pins) linkPins() (map[int]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("pin directory: %w", err)
	}
	pins := map[int]string{}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), linkPrefix)
		if !ok {
			continue
		}
		if index, err := strconv.Atoi(number); err == nil {
			pins[index] = filepath.Join(d.path, e.Name())
		}
	}
	return pins, nil
}

// removeLinks detaches and unpins every link and returns what it removed, in words.
func (d *Pins) removeLinks() (removed []string, err error) {
	pins, err := d.linkPins()
	if err != nil {
		return nil, err
	}
	var errs []error
	for index, path := range pins {
		if err := removeLink(path); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, fmt.Sprintf("link on %s (%s)", interfaceName(index), path))
	}
	slices.Sort(removed)
	return removed, errors.Join(errs...)
}

// removeLink detaches a pinned link, whoever else may hold it, and removes the pin.
func removeLink(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return fmt.Errorf("pinned link %s: %w", path, err)
	}
	defer l.Close()
	if err := l.Detach(); err != nil {
		return fmt.Errorf("pinned link %s: %w", path, err)
	}
	return remove(path)
}

// removeMaps removes the pins of the maps. A program that uses them keeps them.
func (d *Pins) removeMaps() error {
	var errs []error
	for _, name := range slices.Concat(mapPins, formerPins) {
		errs = append(errs, remove(filepath.Join(d.path, name)))
	}
	return errors.Join(errs...)
}

// removeOtherLayout removes the pins of maps that another layout of this
// program has filled.
func (d *Pins) removeOtherLayout() error {
	m, err := ebpf.LoadPinnedMap(filepath.Join(d.path, steerMapSettings), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pinned map %s: %w", steerMapSettings, err)
	}
	defer m.Close()
	var version uint32
	if err := m.Lookup(uint32(steerSettingLAYOUT), &version); err == nil && version == layout {
		return nil
	}
	return d.removeMaps()
}

// removeServers removes the pin of the records of servers, whose numbers are those of the
// tables that are pinned.
func (d *Pins) removeServers() error {
	return remove(filepath.Join(d.path, steerMapExpressServers))
}

// removeIfEmpty removes the directory unless something is in it.
func (d *Pins) removeIfEmpty() error {
	err := os.Remove(d.path)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// remove removes a file that may be gone already.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
