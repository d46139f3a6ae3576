package abi

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// diagMessage is what sock_diag says of one AF_XDP socket. Before the
// attribute with the queue it has another one, of a length that needs padding.
func diagMessage(inode, ifindex, queue uint32) []byte {
	e := binary.NativeEndian
	m := make([]byte, unix.NLMSG_HDRLEN, 128)
	e.PutUint16(m[4:], unix.SOCK_DIAG_BY_FAMILY)
	m = append(m, unix.AF_XDP, 0, 0, 0)
	m = e.AppendUint32(m, inode)
	m = append(m, make([]byte, 8)...)
	m = e.AppendUint16(e.AppendUint16(m, 5), 9)
	m = append(m, 1, 0, 0, 0)
	m = e.AppendUint16(e.AppendUint16(m, 12), xdpDiagInfo)
	m = e.AppendUint32(e.AppendUint32(m, ifindex), queue)
	e.PutUint32(m, uint32(len(m)))
	return m
}

func TestFindSocket(t *testing.T) {
	done := make([]byte, unix.NLMSG_HDRLEN)
	binary.NativeEndian.PutUint32(done, uint32(len(done)))
	binary.NativeEndian.PutUint16(done[4:], unix.NLMSG_DONE)
	dump := append(append(diagMessage(11, 3, 0), diagMessage(12, 3, 1)...), done...)
	for _, test := range []struct {
		ifindex, queue, inode uint32
		end                   bool
	}{{3, 0, 11, false}, {3, 1, 12, false}, {3, 2, 0, true}, {4, 0, 0, true}} {
		inode, end, err := findSocket(dump, test.ifindex, test.queue)
		if inode != test.inode || end != test.end || err != nil {
			t.Errorf("interface %d queue %d: inode %d, end %v, %v", test.ifindex, test.queue, inode, end, err)
		}
	}
	for n := range dump { // cut short anywhere, it is an error or nothing, never a panic
		if inode, _, _ := findSocket(dump[:n], 3, 2); inode != 0 {
			t.Errorf("%d bytes: inode %d", n, inode)
		}
	}
}
