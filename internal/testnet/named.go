package testnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namesDir is where ip-netns(8) keeps namespaces: a mounted file each.
const namesDir = "/run/netns"

// shareNames makes the folder of names a shared mount, as "ip netns add" does.
// If it were left to the first "ip netns add" that comes while our namespaces
// are there, the folder would be mounted over, and they could not be removed.
func shareNames() error {
	if err := os.MkdirAll(namesDir, 0o755); err != nil {
		return err
	}
	share := func() error { return unix.Mount("", namesDir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	err := share()
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	// It is no mount point yet.
	if err := unix.Mount(namesDir, namesDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return share()
}

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
