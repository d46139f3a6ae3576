package wire

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// attachFlags is how XDP programs are attached.
func (o *Options) attachFlags() link.XDPAttachFlags {
	if o.Interface == "" {
		return link.XDPDriverMode
	}
	return 0 // the driver's way if it has one
}

// hold puts an opponent on a real interface for a while. Another box sends
// (Generate) and measures; what is seen here is what the interface has sent.
func (r *runner) hold(ctx context.Context, s *seat, round int, far *site) (m *measurement, err error) {
	b := &bed{far: far, vip: r.o.vip, servers: r.o.servers}
	running, err := s.opponent.start(ctx, b, r.o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, running.stop()) }()
	r.tell(s, round, fmt.Sprintf("on %s for %v", far.device, r.o.Hold))
	m = &measurement{throughput: &outcome{}}
	m.throughput.bestSecond, m.throughput.allOfThem, err = far.watch(ctx, r.o.Hold, running.ended)
	if err == nil {
		s.mode, err = running.bound(ctx)
	}
	return m, err
}

// ownChoice is the mode of a socket that the kernel chose the mode of: a veth has but
// one, and of others nobody is told.
func (o *Options) ownChoice() string {
	if o.Interface == "" {
		return "copy"
	}
	return "auto"
}

// watch is the frames a second that the interface sends: in the best second, and
// on average. It ends early with an error of alive.
func (s *site) watch(ctx context.Context, duration time.Duration, alive func() error) (best, average float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	var samples []sample
	for {
		n, err := s.transmitted()
		if err != nil {
			return 0, 0, err
		}
		samples = append(samples, sample{time.Now(), n})
		if err := alive(); err != nil {
			return 0, 0, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			best, average = rates(samples)
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return best, average, cause
			}
			return best, average, nil
		}
	}
}

// transmitted is how many frames the interface has sent.
func (s *site) transmitted() (n uint64, err error) {
	err = s.do(func() error {
		l, err := netlink.LinkByIndex(s.index)
		if err != nil {
			return fmt.Errorf("interface %s: %w", s.device, err)
		}
		if l.Attrs().Statistics == nil {
			return fmt.Errorf("interface %s: it does not count", s.device)
		}
		n = l.Attrs().Statistics.TxPackets
		return nil
	})
	return n, err
}

// validateInterface reads what only a run on a real interface has.
func (o *Options) validateInterface() error {
	if o.Interface == "" {
		return nil
	}
	var errs []error
	var err error
	if o.vip, err = netip.ParseAddrPort(o.VIP); err != nil || !o.vip.Addr().Is4() {
		errs = append(errs, fmt.Errorf("virtual address %q: want an IPv4 address and a port, as the generator's", o.VIP))
	}
	o.servers = nil
	for _, text := range o.Servers {
		a, err := netip.ParseAddr(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("server: %w", err))
		}
		o.servers = append(o.servers, a)
	}
	if len(o.servers) == 0 {
		errs = append(errs, errors.New("no servers: want addresses of the generator's box"))
	}
	return errors.Join(errs...)
}
