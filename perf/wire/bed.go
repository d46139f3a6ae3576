package wire

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf/link"

	"github.com/xlvs/xlvs/internal/testnet"
)

// Where things are on a bed made for the run. The networks are those that RFC
// 2544 and RFC 5737 keep for benchmarks and documentation.
const (
	nearDevice = "near0"
	farDevice  = "far0"
)

var (
	nearAddress = netip.MustParsePrefix("192.0.2.1/24")
	farAddress  = netip.MustParsePrefix("192.0.2.2/24")
	virtual     = netip.MustParseAddrPort("198.51.100.10:80")
	// realServers are addresses of the near end, which is where all of them are.
	realServers = []netip.Addr{
		netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("192.0.2.12"),
		netip.MustParseAddr("192.0.2.13"), netip.MustParseAddr("192.0.2.14"),
	}
)

// bed is a generator and a sink at one end of a wire, and a place for a
// balancer at the other.
type bed struct {
	near, far *site
	servers   []netip.Addr // real servers, reachable from far
	vip       netip.AddrPort
	ends      *ends
	close     func() error
}

// newBed makes two namespaces and a wire between them. Close it.
func newBed(queues int, traffic Traffic, generators []int) (b *bed, err error) {
	var undo []func() error
	closeAll := func() error {
		var err error
		for i := range undo {
			err = errors.Join(err, undo[len(undo)-1-i]())
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()
	var spaces [2]*testnet.Namespace
	for i := range spaces {
		if spaces[i], err = testnet.New(); err != nil {
			return nil, err
		}
		undo = append(undo, spaces[i].Close)
	}
	near, far := spaces[0], spaces[1]
	if err := wireUp(near, far, queues); err != nil {
		return nil, err
	}
	b = &bed{servers: realServers, vip: virtual, close: closeAll}
	if b.near, err = namespaceSite(near, nearDevice, queues); err != nil {
		return nil, err
	}
	if b.far, err = namespaceSite(far, farDevice, queues); err != nil {
		return nil, err
	}
	traffic.VIP, traffic.Source, traffic.Destination = virtual, b.near.mac, b.far.mac
	if b.ends, err = newEnds(b.near, traffic, generators, link.XDPDriverMode); err != nil {
		return nil, err
	}
	undo = append(undo, b.ends.close)
	return b, nil
}

// wireUp makes the wire and gives both ends their addresses.
func wireUp(near, far *testnet.Namespace, queues int) error {
	if err := testnet.Pair(
		testnet.Veth{Namespace: near, Name: nearDevice, Queues: queues},
		testnet.Veth{Namespace: far, Name: farDevice, Queues: queues},
	); err != nil {
		return err
	}
	errs := []error{near.AddAddr(nearDevice, nearAddress), far.AddAddr(farDevice, farAddress)}
	for _, server := range realServers {
		errs = append(errs, near.AddAddr(nearDevice, netip.PrefixFrom(server, nearAddress.Bits())))
	}
	// Without it a balancer in the kernel gets no frames: a veth takes what an XDP
	// program sends only if its own end has one or, since 5.13, has GRO.
	errs = append(errs, far.SetFeatures(farDevice, true, "rx-gro"))
	return errors.Join(errs...)
}

// How a balancer is waited for: a trickle of frames, until some come through.
const (
	tricklePerSecond = 2000
	trickleFor       = 50 * time.Millisecond
	startWithin      = 15 * time.Second
)

// await waits until a balancer forwards.
func (b *bed) await(ctx context.Context, r *running) error {
	deadline := time.Now().Add(startWithin)
	for {
		o, err := b.ends.trial(ctx, load{rate: tricklePerSecond, duration: trickleFor})
		if err != nil {
			return err
		}
		if o.sent > 0 && o.received*10 > o.sent*9 {
			return nil
		}
		if err := r.ended(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no frame came through within %v (sent %d, received %d)%s", startWithin, o.sent, o.received, r.last())
		}
	}
}
