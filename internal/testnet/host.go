package testnet

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

func parsePrefix(p netip.Prefix) (net.IP, *net.IPNet, error) {
	ip, ipnet, err := net.ParseCIDR(p.String())
	if err != nil {
		return nil, nil, fmt.Errorf("prefix %s: %w", p, err)
	}
	return ip, ipnet, nil
}

// Sysctl writes a value of the namespace's /proc/sys, "net.ipv4.ip_forward" for one,
// with dots or slashes between the parts.
func (ns *Namespace) Sysctl(name, value string) error {
	return ns.Do(func() error {
		// /proc/thread-self follows this thread's namespace; /proc/sys does too.
		path := filepath.Join("/proc/sys", sysctlPath(name))
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("sysctl: %w", err)
		}
		return nil
	})
}

func sysctlPath(name string) string {
	b := []byte(name)
	for i := range b {
		if b[i] == '.' {
			b[i] = '/'
		}
	}
	return string(b)
}

// MAC returns an interface's hardware address.
func (ns *Namespace) MAC(name string) (net.HardwareAddr, error) {
	var mac net.HardwareAddr
	err := ns.withLink(name, func(l netlink.Link) error {
		mac = l.Attrs().HardwareAddr
		return nil
	})
	return mac, err
}

// Index returns an interface's index.
func (ns *Namespace) Index(name string) (int, error) {
	var index int
	err := ns.withLink(name, func(l netlink.Link) error {
		index = l.Attrs().Index
		return nil
	})
	return index, err
}
