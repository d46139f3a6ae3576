package bpf

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/xlvs/xlvs/internal/packettest"
)

// While rules are replaced under traffic, a service that is in the old ones and
// in the new ones is claimed by every single frame, though its entry, its set
// of ports and its conditions all have other numbers each time.
func TestUpdateUnderTraffic(t *testing.T) {
	const updates = 40
	s := open(t, Options{})
	kept := service(TCP, vip, 80)
	kept6 := Rule{Destinations: prefixes(vip6 + "/128"), Sources: prefixes("2001:db8:9::/48"), Claimed: true}
	configuration := func(i int) ([]Rule, []Service) {
		services := []Service{kept}
		for j := range i%3 + 1 {
			services = append(services, Service{Protocol: TCP, Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(j)}), Port: uint16(i + j)})
		}
		rules := []Rule{kept6}
		for j := range i % 4 {
			other := Rule{Destinations: prefixes("2001:db8::/32"), Sources: prefixes("fd00::/16"), DestinationPorts: []PortRange{{uint16(j), 9}}}
			rules = append([]Rule{other}, rules...)
		}
		return rules, services
	}
	rules, services := configuration(0)
	update(t, s, rules, services)

	frames := [][]byte{
		packettest.IPv4(client, vip).TCP(1, 80).Frame(t),
		packettest.IPv6(client6, vip6).UDP(1, 5).Frame(t),
	}
	stop := make(chan struct{})
	var traffic sync.WaitGroup
	traffic.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			action, err := s.objects.XlvsSteer.Run(&ebpf.RunOptions{Data: frames[i%len(frames)], Repeat: 20})
			if err != nil || action != xdpDrop {
				t.Errorf("frame %d: %s, %v", i, actionNames[action], err)
				return
			}
		}
	})
	before := counters(t, s)
	for i := range updates {
		rules, services := configuration(i)
		if err := s.Update(rules, services); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	traffic.Wait()
	after := counters(t, s)
	if after[Unclaimed] != 0 || after[ClaimedFlow] == before[ClaimedFlow] {
		t.Errorf("%d frames unclaimed of %d", after[Unclaimed], after[ClaimedFlow])
	}
}

// An update that changes nothing writes nothing.
func TestSameRulesAgain(t *testing.T) {
	s := steering(t, nil, web())
	generation := s.generation
	update(t, s, nil, web())
	if s.generation != generation {
		t.Error("wrote the same rules again")
	}
}

// No rules is a configuration too, and the generations go on over it.
func TestUpdateToNothing(t *testing.T) {
	dir := newPinDir(t)
	frame := packettest.IPv4(client, vip).TCP(1, 80).Frame(t)
	for range 3 {
		s := open(t, Options{Pins: openPins(t, dir)})
		update(t, s, nil, web())
		if got := reasonOf(t, s, frame); got != ClaimedFlow {
			t.Errorf("with rules: %s", got)
		}
		update(t, s, nil, nil)
		if got := reasonOf(t, s, frame); got != Unclaimed {
			t.Errorf("without: %s", got)
		}
		closeAll(t, s, s.pins)
	}
}
