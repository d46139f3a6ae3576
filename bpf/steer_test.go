package bpf

import (
	"testing"

	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

const (
	client, vip   = "192.0.2.1", "203.0.113.10"
	client6, vip6 = "2001:db8:9::1", "2001:db8::10"
	router        = "198.51.100.1"
	router6       = "2001:db8:7::1"
)

// web is TCP port 80, UDP port 53 and SCTP port 36412 of both addresses.
func web() (services []Service) {
	for _, addr := range []string{vip, vip6} {
		services = append(services, service(TCP, addr, 80), service(UDP, addr, 53), service(SCTP, addr, 36412))
	}
	return services
}

// reply is a packet of a real server to a client, for a router to complain about.
func reply() packettest.Packet  { return packettest.IPv4(vip, client).TCP(80, 40000).Payload(1000) }
func reply6() packettest.Packet { return packettest.IPv6(vip6, client6).TCP(80, 40000).Payload(1000) }

func TestSteer(t *testing.T) {
	s := steering(t, nil, web())
	tcp4, tcp6 := packettest.IPv4(client, vip).TCP(40000, 80), packettest.IPv6(client6, vip6).TCP(40000, 80)
	manyHeaders := func(n int) (e []packettest.Extension) {
		for range n {
			e = append(e, packettest.DestinationOptions(8))
		}
		return e
	}
	for name, c := range map[string]struct {
		packet packettest.Packet
		want   Reason
	}{
		"tcp4":             {tcp4, ClaimedFlow},
		"tcp6":             {tcp6, ClaimedFlow},
		"udp4":             {packettest.IPv4(client, vip).UDP(40000, 53), ClaimedFlow},
		"udp6":             {packettest.IPv6(client6, vip6).UDP(40000, 53), ClaimedFlow},
		"sctp4":            {packettest.IPv4(client, vip).SCTP(40000, 36412), ClaimedFlow},
		"sctp6":            {packettest.IPv6(client6, vip6).SCTP(40000, 36412), ClaimedFlow},
		"padded":           {tcp4.Padded(60), ClaimedFlow},
		"one tag":          {tcp4.VLAN(7), ClaimedFlow},
		"two tags":         {tcp6.Tag(packet.EtherTypeQinQ, 7).VLAN(8), ClaimedFlow},
		"old outer tag":    {tcp4.Tag(packet.EtherType9100, 7).VLAN(8), ClaimedFlow},
		"three tags":       {tcp4.VLAN(7).VLAN(8).VLAN(9), NotIP},
		"options":          {tcp4.Options(4), ClaimedFlow},
		"longest options":  {tcp4.Options(40), ClaimedFlow},
		"hop by hop":       {tcp6.Through(packettest.HopByHop(8)), ClaimedFlow},
		"longest header":   {tcp6.Through(packettest.DestinationOptions(2048)), ClaimedFlow},
		"every header":     {tcp6.Through(packettest.HopByHop(16), packettest.DestinationOptions(24), packettest.Routing(2), packettest.Authentication(24), packettest.DestinationOptions(8)), ClaimedFlow},
		"atomic fragment":  {tcp6.Through(packettest.FragmentHeader(1, 0, false)), ClaimedFlow},
		"eight headers":    {tcp6.Through(manyHeaders(8)...), ClaimedFlow},
		"nine headers":     {tcp6.Through(manyHeaders(9)...), TooManyHeaders},
		"fragment of one":  {tcp6.Through(packettest.FragmentHeader(1, 0, true), packettest.FragmentHeader(1, 0, true)), BadHeader},
		"not the port":     {packettest.IPv4(client, vip).TCP(40000, 22), Unclaimed},
		"not the protocol": {packettest.IPv4(client, vip).UDP(40000, 80), Unclaimed},
		"not the address":  {packettest.IPv4(client, "203.0.113.11").TCP(40000, 80), Unclaimed},
		"not the address6": {packettest.IPv6(client6, "2001:db8::11").TCP(40000, 80), Unclaimed},
		"the other way":    {packettest.IPv4(vip, client).TCP(80, 40000), Unclaimed},

		"ping":             {packettest.IPv4(client, vip).Ping(), NoPorts},
		"ping6":            {packettest.IPv6(client6, vip6).Ping(), NoPorts},
		"vrrp":             {packettest.IPv4(client, "224.0.0.18").Protocol(112).Payload(20), NoPorts},
		"vrrp on the wire": {packettest.IPv4(client, "224.0.0.18").Protocol(112).Payload(20).To(packettest.MAC{1, 0, 0x5e, 0, 0, 18}), GroupAddress},
		"esp":              {packettest.IPv6(client6, vip6).Protocol(50).Payload(20), NoPorts},
		"neighbours":       {packettest.IPv6(client6, vip6).Protocol(packet.ICMPv6).Data(make([]byte, 24)), NoPorts},
		"arp":              {packettest.Ethernet(0x0806, make([]byte, 28)), NotIP},
		"lldp":             {packettest.Ethernet(0x88cc, make([]byte, 46)).To(packettest.MAC{1, 0x80, 0xc2, 0, 0, 0x0e}), GroupAddress},
		"lacp":             {packettest.Ethernet(0x8809, make([]byte, 46)).To(packettest.MAC{1, 0x80, 0xc2, 0, 0, 2}), GroupAddress},
		"broadcast":        {tcp4.To(packettest.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), GroupAddress},

		"first fragment":      {tcp4.Payload(64).Fragment(0, 40, true), ClaimedFlow},
		"later fragment":      {tcp4.Payload(64).Fragment(40, 999, false), ClaimedFragment},
		"later fragment6":     {tcp6.Payload(64).Fragment(40, 999, false), ClaimedFragment},
		"hidden protocol":     {tcp6.Through(packettest.FragmentHeader(1, 64, false), packettest.DestinationOptions(8)), ClaimedFragment},
		"fragment of ping":    {packettest.IPv4(client, vip).Ping().Payload(64).Fragment(40, 999, false), NoPorts},
		"fragment of another": {packettest.IPv4(client, "203.0.113.11").TCP(1, 80).Payload(64).Fragment(40, 999, false), Unclaimed},
		"overlapping":         {tcp4.Payload(64).Fragment(8, 999, false), BadHeader},
		"ping of death":       {packettest.IPv4(client, vip).UDP(1, 53).Payload(64).Fragment(24, 999, false).FragmentOffset(65528), BadHeader},
		"tiny fragment":       {tcp4.Payload(64).Fragment(0, 8, true), BadHeader},

		"unreachable":        {packettest.IPv4(router, vip).Unreachable(reply()), ClaimedError},
		"unreachable6":       {packettest.IPv6(router6, vip6).Unreachable(reply6()), ClaimedError},
		"too big":            {packettest.IPv4(router, vip).TooBig(1400, reply()), ClaimedError},
		"too big6":           {packettest.IPv6(router6, vip6).TooBig(1400, reply6()), ClaimedError},
		"quench":             {packettest.IPv4(router, vip).Error(4, 0, reply()), ClaimedError},
		"exceeded":           {packettest.IPv4(router, vip).Error(11, 0, reply()), ClaimedError},
		"parameter":          {packettest.IPv4(router, vip).Error(12, 0, reply()), ClaimedError},
		"parameter6":         {packettest.IPv6(router6, vip6).Error(4, 0, reply6()), ClaimedError},
		"redirect":           {packettest.IPv4(router, vip).Error(5, 0, reply()), NoPorts},
		"unknown error6":     {packettest.IPv6(router6, vip6).Error(5, 0, reply6()), NoPorts},
		"eight bytes":        {packettest.IPv4(router, vip).Unreachable(reply().TruncatedTransport(8)), ClaimedError},
		"seven bytes":        {packettest.IPv4(router, vip).Unreachable(reply().TruncatedTransport(7)), BadHeader},
		"quoted options":     {packettest.IPv4(router, vip).Options(8).Unreachable(reply().Options(40)), ClaimedError},
		"quoted headers":     {packettest.IPv6(router6, vip6).Through(packettest.HopByHop(8)).Unreachable(reply6().Through(packettest.DestinationOptions(16))), ClaimedError},
		"error about ssh":    {packettest.IPv4(router, vip).Unreachable(packettest.IPv4(vip, client).TCP(22, 40000)), Unclaimed},
		"error about ping":   {packettest.IPv4(router, vip).Unreachable(packettest.IPv4(vip, client).Ping()), Unclaimed},
		"error about client": {packettest.IPv4(router, vip).Unreachable(packettest.IPv4(client, vip).TCP(40000, 80)), Unclaimed},
		"error to another":   {packettest.IPv4(router, "203.0.113.11").Unreachable(reply()), Unclaimed},
		"about a fragment":   {packettest.IPv4(router, vip).Unreachable(reply().Fragment(40, 999, false)), Unclaimed},

		"version":             {tcp4.Version(6), BadHeader},
		"version6":            {tcp6.Version(4), BadHeader},
		"header of 16":        {tcp4.HeaderLength(4), BadHeader},
		"shorter than header": {tcp4.Length(19), BadHeader},
		"longer than frame":   {tcp4.Length(41), Truncated},
		"longer than frame6":  {tcp6.Length(21), Truncated},
		"no payload6":         {tcp6.Length(0), BadHeader},
		"no ports":            {tcp4.Length(23), BadHeader},
		"cut in ethernet":     {tcp4.VLAN(7).Truncated(16), Truncated},
		"cut in ip":           {tcp4.Truncated(33), Truncated},
		"cut in ip6":          {tcp6.Truncated(53), Truncated},
		"lying extension":     {tcp6.Through(packettest.DestinationOptions(8)).ExtensionLength(200), BadHeader},
		"mapped address":      {packettest.IPv6(client6, "::ffff:203.0.113.10").TCP(40000, 80), BadHeader},
	} {
		t.Run(name, func(t *testing.T) {
			if got := reasonOf(t, s, c.packet.Frame(t)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// A packet with segments left is not at its destination yet (RFC 8200, 4.4).
func TestSegmentsLeft(t *testing.T) {
	s := steering(t, nil, web())
	frame := packettest.IPv6(client6, vip6).TCP(40000, 80).Through(packettest.Routing(1)).Frame(t)
	if got := reasonOf(t, s, frame); got != ClaimedFlow {
		t.Errorf("none left: %s", got)
	}
	frame[packet.EthernetLen+packet.IPv6Len+3] = 1
	if got := reasonOf(t, s, frame); got != NoPorts {
		t.Errorf("one left: %s", got)
	}
}

func TestNothingIsClaimedBeforeUpdate(t *testing.T) {
	s := open(t, Options{})
	if got := reasonOf(t, s, packettest.IPv4(client, vip).TCP(1, 80).Frame(t)); got != Unclaimed {
		t.Error(got)
	}
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for i := range NumReasons {
		name := Reason(i).String()
		if name == "" || seen[name] {
			t.Errorf("reason %d is named %q", i, name)
		}
		seen[name] = true
	}
}
