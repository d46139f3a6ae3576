package testnet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Sysctl writes a value of the namespace's /proc/sys, "net.ipv4.ip_forward" for one,
// with dots or slashes between the parts.
func (ns *Namespace) Sysctl(name, value string) error {
	return ns.Do(func() error {
		// /proc/thread-self follows this thread's namespace; /proc/sys does too.
		path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("sysctl: %w", err)
		}
		return nil
	})
}
