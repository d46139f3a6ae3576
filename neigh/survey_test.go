package neigh

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSurvey(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	must(t, b.director.AddRoute(prefix("192.0.2.0/24"), server4))
	none := netip.MustParseAddr("198.51.100.1")
	own := netip.MustParseAddr("10.0.0.1")
	var got map[netip.Addr]string
	must(t, b.director.Do(func() (err error) {
		got, err = Survey([]netip.Addr{server4, server6, far4, none, own})
		return err
	}))
	want := map[netip.Addr]string{
		far4: "192.0.2.9 is behind the router 10.0.0.9, which routes by the virtual address and may send packets back",
		none: "no route to 198.51.100.1: the routing table has none",
		own:  "address 10.0.0.1 is the director's own",
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if b.entry(server4) != nil || b.entry(server6) != nil {
		t.Error("a neighbour was asked")
	}
}
