package vip

import (
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// announceNew starts to announce addresses that were just added, and all of
// them on links that have just become able to send: first seen, up again,
// made anew, or with another MAC address. The caller holds mu.
func (m *Manager) announceNew(links map[string]*netlink.LinkAttrs, have []address, added []netip.Addr) {
	here := slices.Clone(added)
	for _, a := range have {
		if slices.Contains(m.want.vips, a.ip) && !slices.Contains(here, a.ip) {
			here = append(here, a.ip)
		}
	}
	wentDown := m.events.wentDown()
	stations := make(map[string]station)
	for _, name := range m.want.announceOn {
		s, ok := stationOf(links[name])
		if !ok {
			continue
		}
		stations[name] = s
		ips := added
		if m.stations[name] != s || wentDown(s.link) {
			ips = here
		}
		for _, ip := range ips {
			m.schedule(ip, name)
		}
	}
	m.stations = stations
	m.drop(here)
	m.sendNew()
}

// stationOf is not ok for an interface that is missing, cannot send or has no
// MAC address.
func stationOf(l *netlink.LinkAttrs) (station, bool) {
	if l == nil || !running(l) || l.Flags&net.FlagLoopback != 0 || len(l.HardwareAddr) != 6 {
		return station{}, false
	}
	return station{link: l.Index, mac: [6]byte(l.HardwareAddr)}, true
}

// schedule has ip announced on an interface, from the first time on.
func (m *Manager) schedule(ip netip.Addr, on string) {
	m.pending = slices.DeleteFunc(m.pending, func(a announcement) bool { return a.ip == ip && a.on == on })
	m.pending = append(m.pending, announcement{ip: ip, on: on, left: m.repeats})
}

// drop ends the announcements of addresses that are not here, and on links
// that cannot send: those start again when they can.
func (m *Manager) drop(here []netip.Addr) {
	m.pending = slices.DeleteFunc(m.pending, func(a announcement) bool {
		_, ok := m.stations[a.on]
		return !ok || !slices.Contains(here, a.ip)
	})
}

// sendNew sends each announcement that has not been sent yet.
func (m *Manager) sendNew() {
	for i := range m.pending {
		if m.pending[i].left == m.repeats {
			m.send(&m.pending[i])
		}
	}
}

// repeat sends each announcement once more, and forgets those that are done.
func (m *Manager) repeat() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending = slices.DeleteFunc(m.pending, func(a announcement) bool { return a.left <= 0 })
	for i := range m.pending {
		m.send(&m.pending[i])
	}
}

func (m *Manager) send(a *announcement) {
	a.left--
	if err := m.announcer.announce(a.ip, m.stations[a.on]); err != nil {
		m.log.Warn("announcing a virtual address", "address", a.ip, "interface", a.on, "error", err)
	}
}
