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

// New makes a namespace with its loopback up. Nothing in it waits for duplicate
// address detection or asks for routers, so that IPv6 addresses serve at once and
// nobody speaks unasked. Close it.
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
		return errors.Join(ns.Up("lo"), ns.quiet())
	})
	if err != nil && ns != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return ns, err
}

// quiet sets what interfaces of the namespace begin with.
func (ns *Namespace) quiet() error {
	var errs []error
	for _, name := range []string{"accept_dad", "accept_ra", "router_solicitations"} {
		errs = append(errs, ns.Sysctl("net/ipv6/conf/default/"+name, "0"))
	}
	return errors.Join(errs...)
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
