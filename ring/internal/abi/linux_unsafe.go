package abi

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Each call of this file passes the kernel the address of a Go variable, or of
// memory that outlives the call, and its exact size. The conversions to uintptr
// stand in the argument list of the system call, which keeps the variable alive
// (rule 4 of package unsafe).

// RegisterUMEM implements Kernel.
func (Linux) RegisterUMEM(fd int, mem []byte, frameSize, headroom uint32) error {
	reg := unix.XDPUmemReg{
		Addr:     uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))), // mapped memory: it does not move
		Len:      uint64(len(mem)),
		Size:     frameSize,
		Headroom: headroom,
	}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0)
	if errno == unix.EINVAL {
		// Before 6.8 the structure ended earlier (unix.XDPUmemReg less Tx_metadata_len).
		_, _, errno = unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
			uintptr(unsafe.Pointer(&reg)), unsafe.Offsetof(reg.Tx_metadata_len), 0)
	}
	return fail(errno)
}

// Offsets implements Kernel.
func (Linux) Offsets(fd int) ([4]unix.XDPRingOffset, error) {
	var off unix.XDPMmapOffsets
	errno := getsockopt(fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&off), unsafe.Sizeof(off))
	return [4]unix.XDPRingOffset{Fill: off.Fr, Completion: off.Cr, RX: off.Rx, TX: off.Tx}, fail(errno)
}

// Statistics implements Kernel.
func (Linux) Statistics(fd int) (unix.XDPStatistics, error) {
	var stats unix.XDPStatistics
	errno := getsockopt(fd, unix.XDP_STATISTICS, unsafe.Pointer(&stats), unsafe.Sizeof(stats))
	return stats, fail(errno)
}

func getsockopt(fd, option int, value unsafe.Pointer, size uintptr) unix.Errno {
	length := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option),
		uintptr(value), uintptr(unsafe.Pointer(&length)), 0)
	if errno == 0 && uintptr(length) != size {
		return unix.EPROTO // a kernel before 5.4 (offsets) or 5.9 (statistics)
	}
	return errno
}

// nap is how long Poll sleeps before it announces it.
const nap = 2 * time.Millisecond

// Poll implements Kernel. Unlike Kick it is announced to Go's scheduler, but only once
// it has slept for a nap. The scheduler's monitor takes the processor (P) of a thread
// that it finds in an announced call, looks every 20 microseconds as long as it finds
// any, and the thread has to get one back: under a light load all of that takes more
// time than the frames do. The signal by which the scheduler asks for a halt ends a nap
// (EINTR); the announced call that follows lets it have its way.
func (Linux) Poll(fds []unix.PollFd, timeout time.Duration) unix.Errno {
	if timeout >= 0 && timeout <= nap {
		_, errno := ppoll(fds, timeout, false)
		return errno
	}
	ready, errno := ppoll(fds, nap, false)
	if ready > 0 || errno != 0 && errno != unix.EINTR {
		return errno
	}
	if timeout > 0 && errno == 0 { // a nap that a signal ends is not counted: better late than early
		timeout -= nap
	}
	_, errno = ppoll(fds, timeout, true)
	return errno
}

// ppoll is the system call; below 0 the timeout is without end.
func ppoll(fds []unix.PollFd, timeout time.Duration, announced bool) (ready int, errno unix.Errno) {
	spec := unix.NsecToTimespec(int64(max(timeout, 0)))
	limit := &spec
	if timeout < 0 {
		limit = nil
	}
	var n uintptr
	if announced {
		n, _, errno = unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(fds))), uintptr(len(fds)),
			uintptr(unsafe.Pointer(limit)), 0, 0, 0)
	} else {
		n, _, errno = unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(fds))), uintptr(len(fds)),
			uintptr(unsafe.Pointer(limit)), 0, 0, 0)
	}
	return int(n), errno
}

func fail(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
