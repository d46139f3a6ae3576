package links

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// deep is a host with a bit of everything:
//
//	vrrp.51 (macvlan)      guest (macvtap)   br100 (bridge)
//	      |                     |              | its port
//	      +--- bond0 -----------+---------- bond0.100 (VLAN)
//	             | its ports
//	        eth0   eth1          eth2      veth0 == veth1
func deep() *Host {
	mac := func(last byte) [6]byte { return [6]byte{2, 0, 0, 0, 0, last} }
	addr := netip.MustParseAddr
	return New(
		map[int]Link{
			1:  {Name: "lo", Kind: "device"},
			2:  {Name: "eth0", Kind: "device", MAC: mac(1), Master: 5},
			3:  {Name: "eth1", Kind: "device", MAC: mac(1), Master: 5},
			4:  {Name: "eth2", Kind: "device", MAC: mac(4)},
			5:  {Name: "bond0", Kind: "bond", MAC: mac(1)},
			6:  {Name: "bond0.100", Kind: "vlan", MAC: mac(6), Below: 5, VLAN: 100, Master: 7},
			7:  {Name: "br100", Kind: "bridge", MAC: mac(7)},
			8:  {Name: "vrrp.51", Kind: "macvlan", MAC: [6]byte{0, 0, 0x5e, 0, 1, 0x33}, Below: 5},
			9:  {Name: "guest", Kind: "macvtap", MAC: mac(9), Below: 5},
			10: {Name: "veth0", Kind: "veth", MAC: mac(10), Peer: 11},
			11: {Name: "veth1", Kind: "veth", MAC: mac(11), Peer: 10},
		},
		[]Address{
			{Link: 1, Addr: addr("127.0.0.1")},
			{Link: 7, Addr: addr("10.0.0.7"), Global: true},
			{Link: 8, Addr: addr("203.0.113.10"), Global: true},
			{Link: 5, Addr: addr("203.0.113.11"), Global: true},
			{Link: 5, Addr: addr("10.0.0.1"), Global: true},
			{Link: 5, Addr: addr("10.0.0.2"), Global: true},
			{Link: 5, Addr: addr("fe80::1")},
			{Link: 8, Addr: addr("2001:db8::10"), Global: true},
			{Link: 4, Addr: addr("192.0.2.4"), Global: true},
		},
	)
}

func TestMACsThatAreOurs(t *testing.T) {
	h := deep()
	for name, want := range map[string][][6]byte{
		"eth0":    {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 6}, {0, 0, 0x5e, 0, 1, 0x33}, {2, 0, 0, 0, 0, 7}},
		"bond0":   {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 6}, {0, 0, 0x5e, 0, 1, 0x33}, {2, 0, 0, 0, 0, 7}},
		"vrrp.51": {{0, 0, 0x5e, 0, 1, 0x33}},
		"eth2":    {{2, 0, 0, 0, 0, 4}},
		"veth0":   {{2, 0, 0, 0, 0, 10}},
		"lo":      nil,
		"absent":  nil,
	} {
		if diff := cmp.Diff(want, h.MACs(h.Index(name))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAboveAndBeneath(t *testing.T) {
	h := deep()
	for name, want := range map[string][2][]int{
		"eth0":      {{2, 5, 6, 8, 9, 7}, {}},
		"bond0.100": {{6, 7}, {5, 2, 3}},
		"br100":     {{7}, {6, 5, 2, 3}},
		"eth2":      {{4}, {}},
	} {
		got := [2][]int{h.Above(h.Index(name)), h.Beneath(h.Index(name))}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What the kernel says in a moment between two changes may go in circles.
func TestCircles(t *testing.T) {
	h := New(map[int]Link{
		2: {MAC: [6]byte{2}, Below: 3, Master: 2}, 3: {MAC: [6]byte{3}, Below: 2, Master: 9}, 4: {Below: 4},
	}, nil)
	if got := h.MACs(2); len(got) != 2 {
		t.Errorf("MACs are %v", got)
	}
	h.Beneath(2)
	h.Above(4)
}

func TestSourceOfAnswers(t *testing.T) {
	h := deep()
	virtual := func(a netip.Addr) bool { return a.String() != "10.0.0.2" && a.Is4() && a.As4()[0] == 203 }
	for _, test := range []struct {
		name string
		ipv6 bool
		want string
	}{
		{"eth0", false, "10.0.0.1"},    // of the bond, the primary one that is not virtual
		{"eth2", false, "192.0.2.4"},   // its own
		{"br100", false, "10.0.0.7"},   // its own
		{"vrrp.51", false, "10.0.0.7"}, // its own is virtual: any of the host
		{"veth0", false, "10.0.0.7"},   // it has none: any of the host
		{"eth0", true, "2001:db8::10"}, // no other
		{"vrrp.51", true, "2001:db8::10"},
	} {
		got := h.Source(h.Index(test.name), test.ipv6, virtual)
		if got != netip.MustParseAddr(test.want) {
			t.Errorf("%s, IPv6 %t: answers come from %s, want %s", test.name, test.ipv6, got, test.want)
		}
	}
	all := func(netip.Addr) bool { return true }
	if got := h.Source(h.Index("vrrp.51"), false, all); got.String() != "203.0.113.10" {
		t.Errorf("all addresses are virtual: answers come from %s, want the interface's own", got)
	}
	if got := (&Host{}).Source(2, false, all); got.IsValid() {
		t.Errorf("a host without addresses answers from %s", got)
	}
}

func TestLocals(t *testing.T) {
	h := deep()
	h = New(h.Links, append(h.Addresses, h.Addresses[0]))
	if got := h.Locals(); len(got) != 9 || got[0].String() != "10.0.0.1" {
		t.Errorf("local addresses are %v", got)
	}
	if got := h.On(netip.MustParseAddr("10.0.0.7")); !cmp.Equal(got, []int{7}) {
		t.Errorf("10.0.0.7 is on %v", got)
	}
}
