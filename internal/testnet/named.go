package testnet

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Name is what ip-netns(8) calls the namespace, or "".
func (ns *Namespace) Name() string { return ns.name }

// Release lets go of a named namespace and leaves it in place, name and all.
func (ns *Namespace) Release() error {
	ns.link.Close()
	return ns.handle.Close()
}

// Remove takes away the name of a namespace that an earlier process left
// behind. The kernel removes the namespace itself with the last process in it.
// A name that is not there is no error.
func Remove(name string) error {
	err := netns.DeleteNamed(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("remove network namespace %s: %w", name, err)
}
