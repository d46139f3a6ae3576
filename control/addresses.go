package control

import (
	"net/netip"
	"slices"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/vip"
)

// addresses keeps the virtual addresses on the host, if the configuration asks
// for it, and knows in any case which of them are there.
type addresses struct {
	manager *vip.Manager
	watcher *vip.Watcher
	all     []netip.Addr
}

// openAddresses starts looking after the virtual addresses. It is the last
// step: clients come as soon as an address is announced.
func (d *Director) openAddresses() error {
	watcher, err := vip.Watch(d.log)
	if err != nil {
		return err
	}
	d.vips = &addresses{watcher: watcher}
	d.onStop(watcher.Close)
	a := d.config.Addresses
	d.vips.manager, err = vip.Open(vip.Options{Logger: d.log, Repeats: a.AnnounceCount, Interval: a.AnnounceInterval})
	if err != nil {
		return err
	}
	d.onStop(d.vips.manager.Close)
	return d.vips.set(d.config)
}

// changed becomes readable after an address came or went.
func (a *addresses) changed() <-chan struct{} { return a.watcher.Changed() }

// set brings the addresses to what a configuration says.
func (a *addresses) set(cfg *config.Config) error {
	a.all = virtualAddresses(cfg)
	if err := a.watcher.Want(a.all); err != nil {
		return err
	}
	// Without add these are none: then the manager takes away what a killed run left.
	return a.manager.Set(cfg.Addresses.VIPs, cfg.Addresses.Interface, cfg.Addresses.AnnounceOn)
}

// status tells for each virtual address whether the host has it.
func (a *addresses) status() []AddressStatus {
	list := []AddressStatus{}
	for _, addr := range a.all {
		list = append(list, AddressStatus{Address: addr, Present: a.watcher.Lookup(addr).Present()})
	}
	return list
}

// virtualAddresses are the single addresses that services and mark rules name.
func virtualAddresses(cfg *config.Config) []netip.Addr {
	var all []netip.Addr
	for i := range cfg.Services {
		if key := cfg.Services[i].Key; key.Mark == 0 {
			all = append(all, key.Addr)
		}
	}
	for _, rule := range cfg.Marks {
		for _, m := range rule.Matches {
			for _, p := range m.Destinations {
				if p.IsSingleIP() {
					all = append(all, p.Addr())
				}
			}
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}
