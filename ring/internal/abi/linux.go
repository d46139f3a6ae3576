package abi

import (
	"cmp"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Linux is the kernel that we run on.
type Linux struct{}

var _ Kernel = Linux{}

// Now implements Kernel.
func (Linux) Now() time.Time { return time.Now() }

// Release implements Kernel.
func (Linux) Release() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// Interface implements Kernel.
func (Linux) Interface(ifindex int) (name, driver string, err error) {
	ifi, err := net.InterfaceByIndex(ifindex)
	if err != nil {
		return "", "", fmt.Errorf("interface index %d: %w", ifindex, unix.ENODEV)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ifi.Name, "", nil
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, ifi.Name)
	if err != nil {
		return ifi.Name, "", nil // no driver tells nothing worse than an unknown one
	}
	return ifi.Name, unix.ByteSliceToString(info.Driver[:]), nil
}

// MapMemory implements Kernel.
func (Linux) MapMemory(length int, hugePages bool) ([]byte, error) {
	flags := unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	if hugePages {
		flags |= unix.MAP_HUGETLB
	}
	mem, err := unix.Mmap(-1, 0, length, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return nil, err
	}
	if !hugePages {
		// Transparent huge pages save TLB misses where there are any. A wish, not a need.
		_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)
	}
	return mem, nil
}

// UnmapMemory implements Kernel.
func (Linux) UnmapMemory(mem []byte) error { return unix.Munmap(mem) }

// Socket implements Kernel.
func (Linux) Socket() (int, error) {
	return unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
}

// Close implements Kernel.
func (Linux) Close(fd int) error { return unix.Close(fd) }

// SetRing implements Kernel.
func (Linux) SetRing(fd int, kind RingKind, entries uint32) error {
	option := [...]int{
		Fill: unix.XDP_UMEM_FILL_RING, Completion: unix.XDP_UMEM_COMPLETION_RING,
		RX: unix.XDP_RX_RING, TX: unix.XDP_TX_RING,
	}[kind]
	return unix.SetsockoptInt(fd, unix.SOL_XDP, option, int(entries))
}

// MapRing implements Kernel.
func (Linux) MapRing(fd int, kind RingKind, length int) ([]byte, error) {
	offset := [...]int64{
		Fill: unix.XDP_UMEM_PGOFF_FILL_RING, Completion: unix.XDP_UMEM_PGOFF_COMPLETION_RING,
		RX: unix.XDP_PGOFF_RX_RING, TX: unix.XDP_PGOFF_TX_RING,
	}[kind]
	return unix.Mmap(fd, offset, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
}

// UnmapRing implements Kernel.
func (Linux) UnmapRing(mem []byte) error { return unix.Munmap(mem) }

// SetTXBudget implements Kernel.
func (Linux) SetTXBudget(fd int, frames uint32) error {
	return unix.SetsockoptInt(fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, int(frames))
}

// SetBusyPoll implements Kernel.
func (Linux) SetBusyPoll(fd int, microseconds, budget uint32) error {
	prefer := 0
	if microseconds > 0 {
		prefer = 1
	}
	return cmp.Or(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PREFER_BUSY_POLL, prefer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL, int(microseconds)),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL_BUDGET, int(budget)),
	)
}

// SetSendBuffer implements Kernel.
func (Linux) SetSendBuffer(fd int, bytes int) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bytes)
}

// Bind implements Kernel.
func (Linux) Bind(fd int, ifindex int, queue uint32, flags uint16, sharedFD int) error {
	address := unix.SockaddrXDP{Flags: flags, Ifindex: uint32(ifindex), QueueID: queue}
	if flags&unix.XDP_SHARED_UMEM != 0 {
		address.SharedUmemFD = uint32(sharedFD)
	}
	return unix.Bind(fd, &address)
}

// ZeroCopy implements Kernel.
func (Linux) ZeroCopy(fd int) (bool, error) {
	options, err := unix.GetsockoptInt(fd, unix.SOL_XDP, unix.XDP_OPTIONS)
	return options&unix.XDP_OPTIONS_ZEROCOPY != 0, err
}

// Kick implements Kernel. It is a raw system call: with MSG_DONTWAIT the kernel
// does not sleep, and the scheduler must not give this worker's processor away
// for the tens of microseconds that a batch takes in copy mode, nor make it
// queue for one afterwards. The price is that a stop-the-world waits for the batch.
func (Linux) Kick(fd int) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// Wake implements Kernel.
func (Linux) Wake(fd int) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}
