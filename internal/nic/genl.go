package nic

import (
	"encoding/binary"
	"errors"
	"fmt"

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
	request := nl.NewNetlinkRequest(int(f.ID), flags)
	request.AddData(header{command, 1})
	for _, a := range attributes {
		request.AddData(a)
	}
	messages, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return nil, err
	}
	var all []attrs
	for _, m := range messages {
		if len(m) >= nl.SizeofGenlmsg {
			all = append(all, m[nl.SizeofGenlmsg:])
		}
	}
	return all, nil
}

// header is struct genlmsghdr: command, version, and two bytes that the kernel
// wants to be 0. nl.Genlmsg, which has only the first two, sends what lies behind it.
type header [nl.SizeofGenlmsg]byte

func (h header) Len() int          { return len(h) }
func (h header) Serialize() []byte { return h[:] }

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
