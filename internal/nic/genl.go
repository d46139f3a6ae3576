package nic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// call is one request of generic netlink, and the attributes of each message of
// the answer. A kernel without the family or the command gives EOPNOTSUPP.
func call(family string, command uint8, flags int, attributes ...*nl.RtAttr) ([]attrs, error) {
	f, err := netlink.GenlFamilyGet(family)
	if err != nil {
		return nil, fmt.Errorf("netlink family %s: %w", family, errors.Join(unix.EOPNOTSUPP, err))
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1) // reasons in words, where there are any
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	if err := unix.Sendto(fd, request(f.ID, command, flags, attributes), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	return answers(func(buffer []byte) (int, error) {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		return n, err
	})
}

// patience is how long the kernel may take, which answers at once unless somebody
// holds the RTNL lock.
var patience = unix.Timeval{Sec: 10}

// request is a message: struct nlmsghdr, struct genlmsghdr, attributes.
func request(family uint16, command uint8, flags int, attributes []*nl.RtAttr) []byte {
	e := binary.NativeEndian
	m := make([]byte, unix.NLMSG_HDRLEN, 128)
	m = append(m, command, 1, 0, 0) // the version; the last two must be 0
	for _, a := range attributes {
		m = append(m, a.Serialize()...)
	}
	e.PutUint32(m, uint32(len(m)))
	e.PutUint16(m[4:], family)
	e.PutUint16(m[6:], uint16(unix.NLM_F_REQUEST|flags))
	return m
}

// answers reads messages up to the end of the answer: an acknowledgement, an
// error or, of a dump, NLMSG_DONE. It goes by these alone: the messages of some
// dumps do not have NLM_F_MULTI.
func answers(receive func([]byte) (int, error)) (all []attrs, err error) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := receive(buffer)
		if err != nil {
			return nil, fmt.Errorf("netlink: %w", err)
		}
		more, end, err := split(buffer[:n])
		all = append(all, more...)
		if end || err != nil {
			return all, err
		}
	}
}

// split takes what one receive gave apart; end is true at the answer's end.
func split(messages []byte) (all []attrs, end bool, err error) {
	e := binary.NativeEndian
	for len(messages) >= unix.NLMSG_HDRLEN {
		length := int(e.Uint32(messages))
		if length < unix.NLMSG_HDRLEN || length > len(messages) {
			return all, true, unix.EPROTO
		}
		body := messages[unix.NLMSG_HDRLEN:length]
		switch e.Uint16(messages[4:]) {
		case unix.NLMSG_ERROR, unix.NLMSG_DONE:
			return all, true, failure(body, e.Uint16(messages[6:]))
		case unix.NLMSG_NOOP:
		default:
			if len(body) >= nl.SizeofGenlmsg {
				all = append(all, slices.Clone(body[nl.SizeofGenlmsg:]))
			}
		}
		messages = messages[min((length+3)&^3, len(messages)):]
	}
	return all, false, nil
}

// failure is the error of the last message, struct nlmsgerr, which is none for 0,
// with the kernel's words where it has any.
func failure(body []byte, flags uint16) error {
	if len(body) < 4 {
		return nil // NLMSG_DONE without a word
	}
	code := int32(binary.NativeEndian.Uint32(body))
	if code == 0 {
		return nil
	}
	errno := unix.Errno(-code)
	const original = 4 + unix.NLMSG_HDRLEN // the request's header follows, capped to that by NLM_F_CAPPED
	if flags&unix.NLM_F_ACK_TLVS == 0 || len(body) < original {
		return errno
	}
	skip := original
	if flags&unix.NLM_F_CAPPED == 0 {
		skip = 4 + int(binary.NativeEndian.Uint32(body[4:])+3)&^3
	}
	if skip > len(body) {
		return errno
	}
	words, ok := attrs(body[skip:]).get(unix.NLMSGERR_ATTR_MSG)
	if !ok {
		return errno
	}
	return fmt.Errorf("%w: %s", errno, unix.ByteSliceToString(words))
}

// attrs are netlink attributes as they come: length, type, value, padding. What
// is cut short ends the list.
type attrs []byte

// all calls f with every attribute.
func (a attrs) all(f func(kind uint16, value attrs)) {
	for len(a) >= unix.NLA_HDRLEN {
		length := int(binary.NativeEndian.Uint16(a))
		if length < unix.NLA_HDRLEN || length > len(a) {
			return
		}
		f(binary.NativeEndian.Uint16(a[2:])&nlaTypeMask, a[unix.NLA_HDRLEN:length:length])
		a = a[min((length+3)&^3, len(a)):]
	}
}

// nlaTypeMask takes the flags for nested values and byte order off a type.
const nlaTypeMask = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)

// get is the value of the last attribute of a kind.
func (a attrs) get(want uint16) (value attrs, ok bool) {
	a.all(func(kind uint16, v attrs) {
		if kind == want {
			value, ok = v, true
		}
	})
	return value, ok
}

// number is an attribute of 1, 2, 4 or 8 bytes; nil if it is not there.
func (a attrs) number(kind uint16) *uint64 {
	v, ok := a.get(kind)
	if !ok {
		return nil
	}
	var n uint64
	switch len(v) {
	case 1:
		n = uint64(v[0])
	case 2:
		n = uint64(binary.NativeEndian.Uint16(v))
	case 4:
		n = uint64(binary.NativeEndian.Uint32(v))
	case 8:
		n = binary.NativeEndian.Uint64(v)
	default:
		return nil
	}
	return &n
}

func (a attrs) uint32(kind uint16) *uint32 {
	n := a.number(kind)
	if n == nil {
		return nil
	}
	v := uint32(*n)
	return &v
}

func (a attrs) bool(kind uint16) *bool {
	n := a.number(kind)
	if n == nil {
		return nil
	}
	v := *n != 0
	return &v
}

// value is a number or 0.
func value[T uint32 | uint64](p *T) T {
	if p == nil {
		return 0
	}
	return *p
}

// Unsupported tells whether an error says that kernel or driver lack something.
func Unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOSYS)
}
