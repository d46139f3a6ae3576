// Package testnet makes network namespaces and veth pairs for tests and for
// the demo, and takes them away again. Everything here needs root.
//
// A namespace is a file descriptor, never a name on disk, unless it is made
// with NewNamed: the kernel removes it, and all in it, when the last
// descriptor, process and socket in it are gone, whatever happens to the test.
package testnet

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace.
type Namespace struct {
	name   string
	handle netns.NsHandle
	link   *netlink.Handle
}

// New makes a namespace with its loopback up. Close it.
func New() (*Namespace, error) {
	return create("", netns.New)
}

// NewNamed makes a namespace that ip-netns(8) can see under name. Close removes it.
func NewNamed(name string) (*Namespace, error) {
	if err := shareNames(); err != nil {
		return nil, fmt.Errorf("%s: %w", namesDir, err)
	}
	return create(name, func() (netns.NsHandle, error) { return netns.NewNamed(name) })
}

func create(name string, enter func() (netns.NsHandle, error)) (ns *Namespace, err error) {
	err = onOwnThread(func() error {
		handle, err := enter()
		if err != nil {
			return fmt.Errorf("network namespace: %w", err)
		}
		link, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			handle.Close()
			return fmt.Errorf("netlink socket: %w", err)
		}
		ns = &Namespace{name: name, handle: handle, link: link}
		return ns.Up("lo")
	})
	return ns, err
}

// onOwnThread runs f on a thread that ends with it, so that what f does to the
// thread (its namespaces) harms nobody.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
		done <- f()
	}()
	return <-done
}

// Do runs f on a thread inside the namespace. Sockets that f opens stay in the
// namespace afterwards; goroutines that f starts do not.
func (ns *Namespace) Do(f func() error) error {
	return onOwnThread(func() error {
		if err := netns.Set(ns.handle); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// Fd is the namespace's file descriptor, for setns(2). It stays ns's own.
func (ns *Namespace) Fd() int { return int(ns.handle) }

// Netlink is a netlink handle inside the namespace.
func (ns *Namespace) Netlink() *netlink.Handle { return ns.link }

// Close lets go of the namespace and removes its name if it has one.
func (ns *Namespace) Close() error {
	ns.link.Close()
	err := ns.handle.Close()
	if ns.name != "" {
		err = errors.Join(err, netns.DeleteNamed(ns.name))
	}
	return err
}

// Veth is one end of a pair to be.
type Veth struct {
	Namespace *Namespace
	Name      string
	Queues    int // receive and transmit queues each; 0 is 1
	MTU       int // 0 is 1500
}

// Pair makes a veth pair with one end in each namespace, both up. Checksum
// and segmentation offloads are as the kernel makes them: see Offload.
func Pair(a, b Veth) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = a.Name, max(a.MTU, 0)
	attrs.NumRxQueues, attrs.NumTxQueues = max(a.Queues, 1), max(a.Queues, 1)
	veth := netlink.NewVeth(attrs)
	veth.PeerName = b.Name
	veth.PeerNamespace = netlink.NsFd(b.Namespace.Fd())
	veth.PeerNumRxQueues, veth.PeerNumTxQueues = uint32(max(b.Queues, 1)), uint32(max(b.Queues, 1))
	if b.MTU > 0 {
		veth.PeerMTU = uint32(b.MTU)
	}
	if err := a.Namespace.link.LinkAdd(veth); err != nil {
		return fmt.Errorf("veth pair %s, %s: %w", a.Name, b.Name, err)
	}
	return errors.Join(a.Namespace.Up(a.Name), b.Namespace.Up(b.Name))
}

// Up sets an interface up.
func (ns *Namespace) Up(name string) error {
	return ns.withLink(name, ns.link.LinkSetUp)
}

// Down sets an interface down.
func (ns *Namespace) Down(name string) error {
	return ns.withLink(name, ns.link.LinkSetDown)
}

// Delete removes an interface.
func (ns *Namespace) Delete(name string) error {
	return ns.withLink(name, ns.link.LinkDel)
}

func (ns *Namespace) withLink(name string, f func(netlink.Link) error) error {
	link, err := ns.link.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if err := f(link); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return nil
}

// AddAddr gives an interface an address. IPv6 addresses are usable at once (no
// duplicate address detection).
func (ns *Namespace) AddAddr(name string, prefix netip.Prefix) error {
	addr, err := netlink.ParseAddr(prefix.String())
	if err != nil {
		return fmt.Errorf("address %s: %w", prefix, err)
	}
	if prefix.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	return ns.withLink(name, func(l netlink.Link) error { return ns.link.AddrAdd(l, addr) })
}

// AddRoute adds a route to dst by a gateway; an invalid dst is the default route.
func (ns *Namespace) AddRoute(dst netip.Prefix, via netip.Addr) error {
	route := netlink.Route{Gw: via.AsSlice()}
	if dst.IsValid() {
		_, ipnet, err := parsePrefix(dst)
		if err != nil {
			return err
		}
		route.Dst = ipnet
	}
	if err := ns.link.RouteAdd(&route); err != nil {
		return fmt.Errorf("route %s via %s: %w", dst, via, err)
	}
	return nil
}
