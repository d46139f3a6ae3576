package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/xlvs/xlvs/perf/result"
)

// Remote says where a balancer on another box is, for [Generate].
type Remote struct {
	Interface string           // to send from; its driver must be able to send for XDP
	MAC       net.HardwareAddr // the balancer's, or of the router before it
	VIP       netip.AddrPort   // the service; its servers must be this box, by this interface
}

// Generate measures a balancer on another box, from an interface of this one, by
// the options of Run that say what to measure and how. What it sends must come
// back by the interface that it went out by.
//
// While it runs, the interface has an XDP program that takes in what comes from
// 198.18.0.0/15 and nothing else. Attaching it may interrupt the link of real NICs
// for a moment.
func Generate(ctx context.Context, remote Remote, o Options) (*result.Wire, error) {
	o.Opponents = []string{"xlvs"} // none is started; for Validate
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.Interface = remote.Interface
	r := &runner{o: &o, total: o.Repeat * len(o.Queues)}
	for _, queues := range o.Queues {
		near, err := hostSite(remote.Interface, queues)
		if err != nil {
			return nil, err
		}
		s := &seat{opponent: opponent{name: "remote"}, queues: queues}
		o.Reference, r.capacity = s.opponent.name, 0
		r.seats = append(r.seats, s)
		if err := r.remote(ctx, s, near, remote); err != nil {
			return r.results(), err
		}
	}
	return r.results(), nil
}

// remote measures a balancer elsewhere in all rounds, with one attachment.
func (r *runner) remote(ctx context.Context, s *seat, near *site, remote Remote) (err error) {
	traffic := Traffic{
		Size: r.o.Size, Flows: r.o.Flows, VIP: remote.VIP, Source: near.mac, Destination: remote.MAC,
	}
	ends, err := newEnds(near, traffic, r.o.generatorCPUs(s.queues), r.o.attachFlags())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ends.close()) }()
	b := &bed{near: near, ends: ends, vip: remote.VIP}
	running := &running{}
	if err := b.await(ctx, running); err != nil {
		return fmt.Errorf("balancer at %s: %w", remote.MAC, err)
	}
	for round := range r.o.Repeat {
		m, err := r.trials(ctx, s, round, b, running)
		if err != nil {
			return err
		}
		s.measured = append(s.measured, m)
		r.finished(s, round, m)
		r.done++
	}
	return nil
}
