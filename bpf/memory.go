package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// TableMemory is the memory of the workers' tables: the values of a BPF array,
// mapped. Any number of processes and XDP programs see the same bytes. Pinned,
// it outlives the process.
type TableMemory struct {
	existed bool
	pin     string // empty if ephemeral

	mu    sync.Mutex // guards what follows
	array *ebpf.Map
	bytes []byte
}

// tableCell is the array's value: one cache line, so that a program can look up
// any bucket by its number.
const tableCell = 64 // bytes

// tableFlags let a process map the array. With BPF_F_INNER_MAP, a lookup would be a call.
const tableFlags = unix.BPF_F_MMAPABLE

// maxTables is how much an array of such cells can address.
const maxTables = math.MaxUint32 * tableCell

// OpenTables maps the tables that are pinned as they are, whatever their size: see
// Existed, and the length of Bytes. If there are none it makes and pins new ones,
// zeroed, of at least the given size in bytes. Without pins they end with the process.
//
// The memory is locked, and in use from the first moment.
func OpenTables(pins *Pins, bytes int) (*TableMemory, error) {
	if pins != nil {
		path := filepath.Join(pins.path, tablesPin)
		array, err := ebpf.LoadPinnedMap(path, nil)
		if err == nil {
			return mapTables(array, path, true)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("pinned tables %s: %w", path, err)
		}
	}
	return ReplaceTables(pins, bytes)
}

// ReplaceTables makes new tables and pins them in place of those that are
// there, which go when the last process and program let go of them. So go the records
// of servers that are pinned: their numbers are those of the old tables.
func ReplaceTables(pins *Pins, bytes int) (*TableMemory, error) {
	array, err := newTableArray(bytes)
	if err != nil {
		return nil, err
	}
	if pins == nil {
		return mapTables(array, "", false)
	}
	// Pinned beside and moved into place: at every moment there is one or the other.
	path := filepath.Join(pins.path, tablesPin)
	aside := path + newSuffix
	err = remove(aside)
	if err == nil {
		err = array.Pin(aside)
	}
	if err == nil {
		err = pins.removeServers()
	}
	if err == nil {
		err = os.Rename(aside, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pin tables: %w", err), array.Close())
	}
	return mapTables(array, path, false)
}

// newTableArray makes the array. The kernel takes all of its memory at once and
// would rather end processes than refuse, so what there is not is refused here.
func newTableArray(bytes int) (*ebpf.Map, error) {
	page := os.Getpagesize()
	if bytes <= 0 || bytes > maxTables-page {
		return nil, fmt.Errorf("tables of %d bytes: must be from 1 to %d bytes", bytes, maxTables-page)
	}
	size := (bytes + page - 1) / page * page
	if available, err := availableMemory(); err == nil && uint64(size) > available {
		return nil, fmt.Errorf("tables of %d MiB: only %d MiB of memory are available; configure smaller tables",
			size>>20, available>>20)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("lift the limit on locked memory: %w", err)
	}
	array, err := ebpf.NewMap(&ebpf.MapSpec{
		Name:       "xlvs_tables",
		Type:       ebpf.Array,
		KeySize:    4,
		ValueSize:  tableCell,
		MaxEntries: uint32(size / tableCell),
		Flags:      tableFlags,
	})
	if err != nil {
		return nil, fmt.Errorf("tables of %d MiB: %w", size>>20, err)
	}
	return array, nil
}

// availableMemory is MemAvailable of /proc/meminfo, in bytes.
func availableMemory() (uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return parseAvailable(string(text))
}

// mapTables maps an array and owns it from then on.
func mapTables(array *ebpf.Map, pin string, existed bool) (*TableMemory, error) {
	bytes, err := mapArray(array)
	if err != nil {
		return nil, errors.Join(err, array.Close())
	}
	return &TableMemory{existed: existed, pin: pin, array: array, bytes: bytes}, nil
}

func mapArray(array *ebpf.Map) ([]byte, error) {
	if array.Type() != ebpf.Array || array.ValueSize() != tableCell || array.Flags()&unix.BPF_F_MMAPABLE == 0 {
		return nil, fmt.Errorf("pinned tables are a %s: not xlvs's; remove them with xlvs detach", array)
	}
	if array.Flags() != tableFlags {
		return nil, errors.New("pinned tables are of an older xlvs; start without them by --fresh-tables")
	}
	size := uint64(array.MaxEntries()) * tableCell
	if size > math.MaxInt {
		return nil, fmt.Errorf("tables of %d MiB are too large for this machine's addresses", size>>20)
	}
	bytes, err := unix.Mmap(array.FD(), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map tables of %d MiB: %w", size>>20, err)
	}
	return bytes, nil
}

// Bytes is the memory, a multiple of the page size, aligned to a page. It must
// not be touched after Close.
func (m *TableMemory) Bytes() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}

// Existed tells whether the memory is what an earlier process pinned.
func (m *TableMemory) Existed() bool { return m.existed }

// tableVersion is where the version of the tables' layout is, a word of 64 bits.
const tableVersion = 8

// into has a program that is about to be loaded look into the tables, which are formatted.
func (m *TableMemory) into(spec *ebpf.CollectionSpec, options *ebpf.CollectionOptions) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bytes == nil {
		return errors.New("tables: closed already")
	}
	if v := binary.NativeEndian.Uint64(m.bytes[tableVersion:]); v != uint64(steerLayoutTABLES_VERSION) {
		return fmt.Errorf("tables: their layout has version %d, the program is for version %d",
			v, steerLayoutTABLES_VERSION)
	}
	spec.Maps[steerMapTables].MaxEntries = m.array.MaxEntries()
	options.MapReplacements = map[string]*ebpf.Map{steerMapTables: m.array}
	setConstants(spec, m.bytes)
	return nil
}

// Close unmaps the memory. Pinned tables stay.
func (m *TableMemory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bytes == nil {
		return nil
	}
	err := unix.Munmap(m.bytes)
	m.bytes = nil
	return errors.Join(err, m.array.Close())
}

// Remove closes and removes the pin.
func (m *TableMemory) Remove() error {
	err := m.Close()
	if m.pin == "" {
		return err
	}
	return errors.Join(err, remove(m.pin))
}

// parseAvailable finds the line "MemAvailable: N kB".
func parseAvailable(text string) (uint64, error) {
	for line := range strings.Lines(text) {
		var kib uint64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, errors.New("no MemAvailable in /proc/meminfo")
}
