package neigh

import (
	"net/netip"
	"testing"
)

func TestResolvesBothFamilies(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	table := b.open(Options{Interfaces: []string{"eth0"}}, server4, server6)
	want := b.hop("eth0", "eth0")
	waitHop(t, table, server4, want)
	waitHop(t, table, server6, want)
	if _, s := table.Lookup(netip.MustParseAddr("10.0.0.77")); s.Reason != Unknown {
		t.Errorf("an address that nobody wants is %v", s.Reason)
	}
	waitHop(t, table, netip.MustParseAddr("::ffff:10.0.0.9"), want)
}
