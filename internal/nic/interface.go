package nic

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Interface is what the kernel tells of an interface. Parts that it does not
// tell are nil or empty.
type Interface struct {
	Name       string          `json:"name"`
	Index      int             `json:"index"`
	MTU        int             `json:"mtu"`
	Up         bool            `json:"up"`
	Driver     *Driver         `json:"driver,omitempty"`
	Rings      *Rings          `json:"rings,omitempty"`
	Channels   *Channels       `json:"channels,omitempty"`
	Coalescing *Coalescing     `json:"coalescing,omitempty"`
	RSS        *RSS            `json:"rss,omitempty"`
	Features   map[string]bool `json:"features,omitempty"` // those that are on
	NAPIs      []NAPI          `json:"napis,omitempty"`
	Timers     *Timers         `json:"timers,omitempty"` // of the interface as a whole
	IRQs       []IRQ           `json:"irqs,omitempty"`
}

// Read asks for everything about an interface of the calling thread's network
// namespace. The only error is an interface that is not there.
func Read(name string) (*Interface, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	i := &Interface{Name: name, Index: ifi.Index, MTU: ifi.MTU, Up: ifi.Flags&net.FlagUp != 0}
	i.Driver, _ = ReadDriver(name)
	i.Rings, _ = ReadRings(name)
	i.Channels, _ = ReadChannels(name)
	i.Coalescing, _ = ReadCoalescing(name)
	i.RSS, _ = ReadRSS(name)
	i.Features, _ = ReadFeatures(name)
	i.NAPIs, _ = ReadNAPIs(i.Index)
	var device string
	var numbers []uint32
	err = inSysfs(name, i.Index, func(dir string) error {
		device, numbers = readDevice(filepath.Join(dir, "device"))
		return nil
	})
	if t, timersErr := InterfaceTimers(name, i.Index); err == nil && timersErr == nil {
		i.Timers = &t
	}
	i.IRQs = ReadIRQs("/proc", name, device, numbers)
	i.matchIRQs()
	return i, nil
}

// readDevice is the name of an interface's device and the interrupts that are its.
func readDevice(dir string) (device string, numbers []uint32) {
	target, err := os.Readlink(dir)
	if err != nil {
		return "", nil // a virtual interface
	}
	entries, _ := os.ReadDir(filepath.Join(dir, "msi_irqs"))
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name(), 10, 32); err == nil {
			numbers = append(numbers, uint32(n))
		}
	}
	return filepath.Base(target), numbers
}

// matchIRQs gives interrupts the queue that NAPI says, which knows better than names.
func (i *Interface) matchIRQs() {
	for _, n := range i.NAPIs {
		at := slices.IndexFunc(i.IRQs, func(irq IRQ) bool { return irq.Number == n.IRQ })
		if at >= 0 && len(n.Queues) > 0 {
			i.IRQs[at].Queue = int(n.Queues[0])
		}
	}
}

func hardwareAddress(ifindex int) (string, error) {
	ifi, err := net.InterfaceByIndex(ifindex)
	if err != nil {
		return "", err
	}
	return ifi.HardwareAddr.String(), nil
}
