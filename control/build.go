package control

import (
	"fmt"
	"slices"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/dataplane"
	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/sched"
	"github.com/xlvs/xlvs/service"
)

// policy is a configuration in the form that the packet path and the steering
// program take. It is immutable.
type policy struct {
	rules    *marks.Rules
	services *service.Table
	// steering has what the XDP program is to redirect.
	steerRules    []bpf.Rule
	steerServices []bpf.Service
}

// builder makes a policy. It keeps what goes on from one configuration to the
// next: the numbers of real servers, and the state of schedulers.
type builder struct {
	tables   *affinity.Tables
	previous *service.Table // nil at the start
}

// build makes the policy of a configuration; ifindex has the indices of its
// interfaces by name. Servers that are new get their numbers; those that are
// gone keep theirs until release.
func (b *builder) build(cfg *config.Config, ifindex map[string]int) (*policy, error) {
	services := make([]*service.VirtualService, 0, len(cfg.Services))
	for i := range cfg.Services {
		vs, err := b.service(&cfg.Services[i])
		if err != nil {
			return nil, err
		}
		services = append(services, vs)
	}
	table, err := service.NewTable(services)
	if err != nil {
		return nil, err
	}
	rules := markRules(cfg.Marks, ifindex)
	compiled, err := marks.Compile(rules)
	if err != nil {
		return nil, fmt.Errorf("marks: %w", err)
	}
	return &policy{
		rules:         compiled,
		services:      table,
		steerRules:    steerRules(rules, services),
		steerServices: steerServices(services),
	}, nil
}

// service makes one virtual service with its real servers and scheduler.
func (b *builder) service(c *config.Service) (*service.VirtualService, error) {
	vs := &service.VirtualService{
		Key:                  c.Key,
		SchedulerName:        c.Scheduler.Name,
		Flags:                c.Scheduler.Options.Flags,
		Method:               c.Method,
		Persistent:           c.Persistent,
		Persistence:          c.Persistence,
		Timeouts:             c.Timeouts,
		OnePacket:            c.OnePacket,
		ExpireQuiescent:      c.ExpireQuiescent,
		ExpireNoDest:         c.ExpireNoDest,
		Sloppy:               c.Sloppy,
		PersistentThresholds: c.PersistentThresholds,
		Refuse:               c.Refuse,
		KeepUnreachable:      c.KeepUnreachable,
		AnswerTooBig:         c.AnswerTooBig,
	}
	before := b.before(c.Key)
	for i := range c.Servers {
		real, err := b.server(c, &c.Servers[i], before)
		if err != nil {
			return nil, err
		}
		vs.Servers = append(vs.Servers, real)
	}
	options := c.Scheduler.Options
	if before != nil {
		options.Previous = before.Scheduler
	}
	scheduler, err := sched.New(c.Scheduler.Name, vs.Servers, options)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", c.Key, err)
	}
	vs.Scheduler = scheduler
	return vs, nil
}

// before is the service of the same key in the policy that is in force.
func (b *builder) before(key service.Key) *service.VirtualService {
	if b.previous == nil {
		return nil
	}
	i := slices.IndexFunc(b.previous.All(), func(vs *service.VirtualService) bool { return vs.Key == key })
	if i < 0 {
		return nil
	}
	return b.previous.All()[i]
}

func (b *builder) server(c *config.Service, s *config.Server, before *service.VirtualService) (*service.RealServer, error) {
	id, err := b.tables.Assign(c.Key, s.Addr, s.Port, c.Method)
	if err != nil {
		return nil, fmt.Errorf("service %s: server %s: %w", c.Key, s.Addr, err)
	}
	real := &service.RealServer{
		ID: id, Addr: s.Addr, Port: s.Port, Method: c.Method, Weight: s.Weight, LastWeight: s.Weight,
		UpperThreshold: s.UpperThreshold, LowerThreshold: s.LowerThreshold,
		Counts: b.tables.Counts(id.Number()),
	}
	if real.Weight == 0 && before != nil {
		// A quiesced server keeps its slots in mh's table (ip_vs_dest last_weight).
		for _, was := range before.Servers {
			if was.ID == id {
				real.LastWeight = was.LastWeight
			}
		}
	}
	return real, nil
}

// noInterface stands for an interface that does not exist at the moment: an
// index that the kernel never gives.
const noInterface = 1<<31 - 1

// bound puts the servers' thresholds and timeouts in force.
func (b *builder) bound(now *service.Table) {
	for _, vs := range now.All() {
		timeouts := dataplane.TimeoutsOf(vs)
		for _, real := range vs.Servers {
			b.tables.SetTimeouts(real.ID.Number(), timeouts)
			b.tables.SetThresholds(real.ID.Number(), real.UpperThreshold, real.LowerThreshold)
		}
	}
}

// release gives up the servers that a policy in force has not: those of a former
// policy, also of a former run. Their numbers stay taken while entries name them.
func (b *builder) release(now *service.Table) {
	known := map[service.ID]bool{}
	for _, vs := range now.All() {
		for _, real := range vs.Servers {
			known[real.ID] = true
		}
	}
	for _, s := range b.tables.Servers() {
		if !known[s.ID] && !s.Released {
			b.tables.Release(s.ID)
		}
	}
}

// markRules gives the rules one match each, in the file's order: a rule with
// several matches is as many rules of the same mark.
func markRules(rules []config.MarkRule, ifindex map[string]int) []marks.Rule {
	var out []marks.Rule
	for _, rule := range rules {
		for _, m := range rule.Matches {
			r := marks.Rule{
				Mark: marks.Mark(rule.Mark), Protocols: m.Protocols,
				Destinations: m.Destinations, Sources: m.Sources,
				DestinationPorts: portRanges(m.Ports), SourcePorts: portRanges(m.SourcePorts),
				VLANs: m.VLANs, DSCPs: m.DSCPs,
			}
			for _, name := range m.Interfaces {
				index, ok := ifindex[name]
				if !ok {
					index = noInterface
				}
				r.Interfaces = append(r.Interfaces, uint32(index))
			}
			out = append(out, r)
		}
	}
	return out
}

func portRanges(ranges []config.Range) []marks.Ports {
	var out []marks.Ports
	for _, r := range ranges {
		out = append(out, marks.Ports{First: r.First, Last: r.Last})
	}
	return out
}
