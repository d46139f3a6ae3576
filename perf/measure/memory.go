package measure

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Memory maps anonymous memory, zeroed and present, in pages of 4 KiB: as expensive
// to look into as the BPF array that holds the director's tables. Unmap gives it back.
func Memory(size int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of memory: %w", size, err)
	}
	// A kernel without huge pages says that it has none to refuse.
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	if err := unix.Madvise(mem, unix.MADV_POPULATE_WRITE); err != nil {
		Unmap(mem)
		return nil, fmt.Errorf("fill %d bytes of memory: %w", size, err)
	}
	return mem, nil
}

// Unmap gives memory back. Nothing may refer to it any more.
func Unmap(mem []byte) { _ = unix.Munmap(mem) }
