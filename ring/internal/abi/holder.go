package abi

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Holder implements Kernel. It asks sock_diag(7) for the inode of the socket on
// the queue, and /proc for the process that has that inode open. Where the
// kernel has no CONFIG_XDP_SOCKETS_DIAG it tells the processes that have AF_XDP
// sockets at all. It looks through every process: for error messages only.
func (Linux) Holder(ifindex int, queue uint32) string {
	inode, err := socketOn(ifindex, queue)
	if err != nil {
		if users := socketUsers("/proc"); len(users) > 0 {
			return "one of " + strings.Join(users, ", ")
		}
		return ""
	}
	if inode == 0 {
		return "" // nobody any more
	}
	link := fmt.Sprintf("socket:[%d]", inode)
	paths, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, path := range paths {
		if target, err := os.Readlink(path); err == nil && target == link {
			return processName(filepath.Dir(filepath.Dir(path)))
		}
	}
	return "a process that cannot be seen from here"
}

// socketUsers names the processes that have a fill ring mapped: no other
// socket has a mapping at that offset.
func socketUsers(proc string) (users []string) {
	fillRing := fmt.Sprintf(" %x ", int64(unix.XDP_UMEM_PGOFF_FILL_RING))
	paths, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "maps"))
	for _, path := range paths {
		maps, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(maps)) {
			if strings.Contains(line, fillRing) && strings.Contains(line, "socket:[") {
				users = append(users, processName(filepath.Dir(path)))
				break
			}
		}
	}
	return users
}

// processName is "pid 12 (name)", of a directory of /proc.
func processName(dir string) string {
	name, _ := os.ReadFile(filepath.Join(dir, "comm"))
	return fmt.Sprintf("pid %s (%s)", filepath.Base(dir), strings.TrimSpace(string(name)))
}

// Of linux/xdp_diag.h.
const (
	xdpDiagRequest = 20 // struct xdp_diag_req: family, protocol, pad, inode, show, cookie
	xdpDiagMessage = 16 // struct xdp_diag_msg: family, type, pad, inode, cookie
	xdpShowInfo    = 1  // XDP_SHOW_INFO
	xdpDiagInfo    = 1  // XDP_DIAG_INFO: struct xdp_diag_info, interface index and queue
)

// socketOn is the inode of the AF_XDP socket that is bound to a queue, or 0.
func socketOn(ifindex int, queue uint32) (inode uint32, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	request := make([]byte, unix.NLMSG_HDRLEN+xdpDiagRequest)
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request[unix.NLMSG_HDRLEN] = unix.AF_XDP
	binary.NativeEndian.PutUint32(request[unix.NLMSG_HDRLEN+8:], xdpShowInfo)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			return 0, err
		}
		inode, end, err := findSocket(buffer[:n], uint32(ifindex), queue)
		if inode != 0 || end || err != nil {
			return inode, err
		}
	}
}

// findSocket looks through the messages of a dump; end is true at its end.
func findSocket(messages []byte, ifindex, queue uint32) (inode uint32, end bool, err error) {
	for len(messages) >= unix.NLMSG_HDRLEN {
		length := int(binary.NativeEndian.Uint32(messages))
		kind := binary.NativeEndian.Uint16(messages[4:])
		if length < unix.NLMSG_HDRLEN || length > len(messages) || kind == unix.NLMSG_ERROR {
			return 0, true, unix.EPROTO // an error is that of a kernel that does not know AF_XDP here
		}
		if kind == unix.NLMSG_DONE {
			return 0, true, nil
		}
		body := messages[unix.NLMSG_HDRLEN:length]
		if len(body) >= xdpDiagMessage && isOn(body[xdpDiagMessage:], ifindex, queue) {
			return binary.NativeEndian.Uint32(body[4:]), false, nil
		}
		messages = messages[min((length+3)&^3, len(messages)):]
	}
	return 0, false, nil
}

// isOn looks for the attribute that says which queue a socket is on.
func isOn(attributes []byte, ifindex, queue uint32) bool {
	for len(attributes) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(attributes))
		if length < unix.SizeofRtAttr || length > len(attributes) {
			return false
		}
		value := attributes[unix.SizeofRtAttr:length]
		if binary.NativeEndian.Uint16(attributes[2:]) == xdpDiagInfo && len(value) >= 8 {
			return binary.NativeEndian.Uint32(value) == ifindex && binary.NativeEndian.Uint32(value[4:]) == queue
		}
		attributes = attributes[min((length+3)&^3, len(attributes)):]
	}
	return false
}
