package config

import (
	"net/netip"
	"slices"
	"time"
)

func readAddresses(v value, interfaces []Interface, marks *markRules, services *serviceList) Addresses {
	f := v.fields("addresses", "add", "interface", "vips", "announce", "announce_on", "announce_count", "announce_interval")
	a := Addresses{
		Add:              f.flag("add", false),
		Interface:        f.at("interface").interfaceName(),
		AnnounceCount:    int(f.number("announce_count", 3, 1, 100)), // MAX_NEIGHBOR_ADVERTISEMENT (RFC 4861, 10)
		AnnounceInterval: f.duration("announce_interval", time.Second, time.Second, time.Hour),
	}
	announce := f.flag("announce", true)
	for _, item := range f.at("announce_on").oneOrMore() {
		a.AnnounceOn = append(a.AnnounceOn, item.interfaceName())
	}
	explicit := f.vips(&a)
	if !a.Add {
		return Addresses{}
	}
	if !f.has("interface") {
		a.Interface = f.soleInterface(interfaces)
	}
	if !explicit {
		a.VIPs = derivedVIPs(marks, services)
	}
	slices.SortFunc(a.VIPs, netip.Addr.Compare)
	a.VIPs = slices.Compact(a.VIPs)
	switch {
	case !announce:
		a.AnnounceOn = nil
	case len(a.AnnounceOn) == 0:
		a.AnnounceOn = announceOn(a.Interface, interfaces)
	}
	if n := len(a.VIPs); a.Interface == loopback && n > 0 && a.VIPs[n-1].Is6() {
		f.at("interface").errorf("interface lo does not hold IPv6 addresses such as %s, which are found by neighbour discovery on the link: write the interface of the clients' side", a.VIPs[n-1])
	}
	return a
}

const loopback = "lo"

// vips reads the addresses to add, and reports whether there are any in the file.
func (f fields) vips(a *Addresses) bool {
	v := f.at("vips")
	if isWord(v, "auto") {
		return false
	}
	for _, item := range v.oneOrMore() {
		if ip, ok := item.address(); ok {
			a.VIPs = append(a.VIPs, ip)
		}
	}
	return true
}

// announceOn is where the addresses are announced if the file does not say it:
// on their interface, or, if that is lo, on all that take part.
func announceOn(name string, interfaces []Interface) []string {
	if name != loopback {
		return []string{name}
	}
	var all []string
	for _, i := range interfaces {
		all = append(all, i.Name)
	}
	return all
}

// soleInterface is where the addresses go if the file does not say it.
func (f fields) soleInterface(interfaces []Interface) string {
	if len(interfaces) == 1 {
		return interfaces[0].Name
	}
	if len(interfaces) > 1 {
		f.errorf("addresses has no interface, and there are several: add the one that the clients' side is on, interface: %s", interfaces[0].Name)
	}
	return ""
}

// derivedVIPs is every virtual address that the services and the mark rules
// name one by one.
func derivedVIPs(marks *markRules, services *serviceList) []netip.Addr {
	var all []netip.Addr
	for _, s := range services.all {
		if s.Key.Addr.IsValid() {
			all = append(all, s.Key.Addr)
		}
	}
	for _, d := range marks.destinations {
		if d.prefix.IsSingleIP() {
			all = append(all, d.prefix.Addr())
		} else {
			d.at.warnf("the addresses of %s are not added one by one: list those wanted in addresses.vips", d.prefix)
		}
	}
	return all
}
