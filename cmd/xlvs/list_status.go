package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/xlvs/xlvs/control"
)

// status prints what the machine room wants to know: sockets, tables, drops.
func (p *printer) status(ctx context.Context, client *control.Client) error {
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if p.json {
		return p.object(s)
	}
	p.printf("xlvs %s, pid %d, up %s, snapshot %d\n", s.Version, s.PID, time.Since(s.Started).Round(time.Second), s.Generation)
	p.printf("\nInterface  Queue Mode      Attached\n")
	for i := range s.Sockets {
		k := &s.Sockets[i]
		p.printf("%-10s %5d %-9s %-8s", k.Interface, k.Queue, k.Mode, k.Attached)
		if k.Error != "" {
			p.printf(" %s", k.Error)
		}
		for _, name := range slices.Sorted(maps.Keys(k.Counters)) {
			if k.Counters[name] != 0 {
				p.printf(" %s=%d", name, k.Counters[name])
			}
		}
		p.printf("\n")
	}
	p.printf("\n%-18s %10s %10s %12s %12s %10s %10s %10s\n", "Table", "Live", "Capacity", "Inserted", "Expired", "Displaced", "Refused", "Port full")
	for _, t := range s.Tables {
		p.printf("%-18s %10d %10d %12d %12d %10d %10d %10d\n", t.Name, t.Live, t.Capacity, t.Inserted, t.Expired, t.Displaced, t.Refused, t.PortFull)
	}
	p.printf("\n")
	p.counts("Frames of services, by what became of them", s.Frames)
	p.counts("Beside that", s.Notes)
	p.counts("Frames, by what the XDP program did with them", s.Steering)
	for _, w := range s.Warnings {
		p.printf("%s\n", w)
	}
	for _, a := range s.Addresses {
		if !a.Present {
			p.printf("virtual address %s is not on this host: nobody answers for it here\n", a.Address)
		}
	}
	return nil
}
