package marks_test

import (
	"fmt"
	"net/netip"

	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
)

// HTTP and HTTPS of one address share a mark, and so a service; one network is
// left out.
func Example() {
	vip := []netip.Prefix{netip.MustParsePrefix("203.0.113.10/32")}
	rules, err := marks.Compile([]marks.Rule{
		{Mark: 0, Sources: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
		{Mark: 80, Destinations: vip, Protocols: []packet.Protocol{packet.TCP},
			DestinationPorts: []marks.Ports{marks.Port(80), marks.Port(443)}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	const eth0 = 2
	for _, client := range []string{"192.0.2.1", "198.51.100.1"} {
		p := packet.Parsed{Kind: packet.KindFlow, Tuple: packet.Tuple{
			Src: packet.AddrFrom(netip.MustParseAddr(client)), Dst: packet.AddrFrom(vip[0].Addr()),
			SrcPort: 1024, DstPort: 443, Protocol: packet.TCP,
		}}
		fmt.Println(client, rules.Match(&p, eth0))
	}
	// Output:
	// 192.0.2.1 80
	// 198.51.100.1 0
}
