package vip

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is set, in whatever order, with others adding and removing addresses and
// runs that crash in between: the host has the others' addresses and those
// wanted last, and after Close the others' alone.
func TestConvergenceModel(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ips := []netip.Addr{vip4, vip6, netip.MustParseAddr("203.0.113.11"), netip.MustParseAddr("2001:db8::11")}
	ifaces := []string{"lo", "eth0"}
	rapid.Check(t, func(t *rapid.T) {
		b := &bed{t: t, director: b.director, client: b.client}
		h := &model{bed: b, others: make(map[at]bool)}
		t.Cleanup(h.removeOthers) // runs last
		m := b.open()
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				h.vips = rapid.SliceOfDistinct(rapid.SampledFrom(ips), rapid.ID).Draw(t, "vips")
				h.iface = rapid.SampledFrom(ifaces).Draw(t, "iface")
				must(t, m.Set(h.vips, h.iface, []string{"eth0"}))
			},
			"others": func(t *rapid.T) {
				a := at{rapid.SampledFrom(ifaces).Draw(t, "iface"), rapid.SampledFrom(ips).Draw(t, "ip")}
				switch {
				case h.others[a]:
					delete(h.others, a)
					must(t, b.director.DeleteAddr(a.iface, hostPrefix(a.ip)))
				case !h.ours(a):
					h.others[a] = true
					must(t, b.director.AddAddr(a.iface, hostPrefix(a.ip)))
				}
				m.again() // at once; tests of its own show that the events lead here
			},
			"crash": func(t *rapid.T) {
				m.crash()
				must(t, m.Set(h.vips, h.iface, nil))
			},
			"": func(*rapid.T) { h.check() },
		})
		must(t, m.Close())
		h.vips = nil
		h.check()
	})
}

type at struct {
	iface string
	ip    netip.Addr
}

type model struct {
	*bed
	others map[at]bool
	vips   []netip.Addr
	iface  string
}

func (h *model) ours(a at) bool {
	return a.iface == h.iface && slices.Contains(h.vips, a.ip) && !h.others[a]
}

// check compares the host with the model.
func (h *model) check() {
	h.t.Helper()
	all := maps.Clone(h.others)
	for _, ip := range h.vips {
		all[at{h.iface, ip}] = true
	}
	want := map[string][]string{"lo": nil, "eth0": slices.Clone(own)}
	for a := range all {
		want[a.iface] = append(want[a.iface], hostPrefix(a.ip).String())
	}
	for iface, w := range want {
		slices.Sort(w)
		h.wantOn(iface, w...)
	}
}

func (h *model) removeOthers() {
	for a := range h.others {
		must(h.t, h.director.DeleteAddr(a.iface, hostPrefix(a.ip)))
	}
}

// crash makes m a Manager that has just been opened: it knows what the kernel
// knows. (TestAddressesOfAKilledRunAreOwnedAgain kills for real, which is slow.)
func (m *Manager) crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.want, m.pending = wanted{}, nil
	clear(m.unmarked)
	clear(m.stations)
}
