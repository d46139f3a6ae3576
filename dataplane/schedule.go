package dataplane

import (
	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// ftpData is the port that an active FTP session's data connections come from.
const ftpData = 20

// ftpControl is the port of FTP's control connections.
const ftpControl = 21

// schedule gives packet j of the known ones, number m of those without a
// connection entry, a server: by the client's
// persistence template if the service has persistence, by the service's
// scheduler otherwise (ip_vs_schedule, ip_vs_sched_persist).
func (f *Forwarder) schedule(j, m int, frame *Frame) Verdict {
	p := &f.parsed[f.known.frame[j]]
	svc := f.services[m]
	if svc == nil {
		return f.refuse(NoService, f.snapshot.Refuse, p, frame)
	}
	state, ok := opens(p, svc.Sloppy)
	if !ok {
		return f.stray(j, m, frame)
	}
	if p.Tuple.SrcPort == ftpData {
		return f.refuse(FTPDataSource, svc.Refuse, p, frame)
	}
	var s *server
	if svc.Persistent {
		s = f.persistent(svc, &p.Tuple, &f.missed.keys[m], f.missed.hashes[m])
	} else {
		s = f.pick(svc, &p.Tuple)
	}
	if s == nil {
		return f.refuse(NoServer, svc.Refuse, p, frame)
	}
	if svc.OnePacket && p.Tuple.Protocol == packet.UDP {
		f.counters.opened(s.id.Number())
		return f.xmit(s, p, frame, nil)
	}
	return f.open(j, s, state, frame)
}

// stray deals with a packet that belongs to no connection and opens none. A client with
// an assured template has one, perhaps, that was forgotten here: its server knows, and
// resets what it does not know. Everybody else is told at once.
func (f *Forwarder) stray(j, m int, frame *Frame) Verdict {
	p, svc := &f.parsed[f.known.frame[j]], f.services[m]
	if !svc.Persistent {
		return f.refuse(NoConnection, svc.Refuse, p, frame)
	}
	template, found := f.tables.Templates.Lookup(f.missed.hashes[m], &f.missed.keys[m], f.now)
	s := f.snapshot.lookup(template.Server())
	if !found || !template.Assured() || s == nil {
		return f.refuse(NoConnection, svc.Refuse, p, frame)
	}
	state, ok := opens(p, true)
	if !ok {
		return f.xmit(s, p, frame, nil)
	}
	return f.open(j, s, state, frame)
}

// service finds the packet's virtual service, nil if none claims it.
func (f *Forwarder) service(p *packet.Parsed) *service.VirtualService {
	mark := uint32(f.snapshot.Marks.Match(p, f.ifindex))
	return f.snapshot.Services.Lookup(mark, &p.Tuple)
}

// open makes the connection's entry and forwards its first packet. If another
// worker was faster, its entry counts. Who finds no room is not answered, as in
// IPVS: that would end for good what the client's next try may open.
func (f *Forwarder) open(j int, s *server, state affinity.State, frame *Frame) Verdict {
	p := &f.parsed[f.known.frame[j]]
	f.init = affinity.ConnInit{Server: s.id, State: state, Timeout: s.svc.timeouts[state]}
	entry, outcome := f.tables.Conns.Insert(f.known.hashes[j], &f.known.keys[j], &f.init, f.now)
	switch outcome {
	case affinity.Full:
		return Verdict{Reason: TableFull}
	case affinity.PortFull:
		return Verdict{Reason: ClientPortFull}
	case affinity.Found:
		if s = f.snapshot.lookup(entry.Server()); s == nil {
			return Verdict{Reason: ServerGone}
		}
	case affinity.Inserted:
		f.counters.opened(s.id.Number())
	}
	return f.xmit(s, p, frame, nil)
}

// pick asks the service's scheduler.
func (f *Forwarder) pick(svc *service.VirtualService, t *packet.Tuple) *server {
	f.request.Tuple = *t
	f.request.Now = uint32(f.now / affinity.TicksPerSecond)
	real := svc.Scheduler.Schedule(&f.request)
	if real == nil {
		return nil
	}
	return f.snapshot.lookup(real.ID)
}

// persistent finds the server that the client's template names, or schedules
// the client and makes one. A second connection of UDP assures it. One of TCP or SCTP does
// not: two first packets from an invented address are as cheap as one, and an answered
// connection will (hold).
func (f *Forwarder) persistent(svc *service.VirtualService, t *packet.Tuple, key *affinity.Key,
	hash affinity.Hash) *server {
	templates := &f.tables.Templates
	template, found := templates.Lookup(hash, key, f.now)
	if found {
		if s := f.snapshot.lookup(template.Server()); s != nil && honours(svc, s) {
			if svc.Persistence.Refresh == service.RefreshConnection {
				templates.Refresh(&template, f.now, s.svc.template)
			}
			if t.Protocol == packet.UDP {
				templates.Assure(&template)
			}
			return s
		}
	}
	s := f.pick(svc, t)
	if s == nil {
		return nil
	}
	if found {
		template, _ = templates.Rebind(template, s.id)
		if template.Valid() {
			templates.Refresh(&template, f.now, s.svc.template)
		}
	} else {
		template = f.newTemplate(hash, key, s)
	}
	// Another worker may have been faster: then its choice counts. Without a template, for
	// there was no room or it went this moment, the connection does without.
	if template.Valid() {
		if now := f.snapshot.lookup(template.Server()); now != nil {
			return now
		}
	}
	return s
}

// newTemplate makes a template, unless another worker was faster: then it is that one.
func (f *Forwarder) newTemplate(hash affinity.Hash, key *affinity.Key, s *server) affinity.Entry {
	template, outcome := f.tables.Templates.Insert(hash, key, s.id, f.now, s.svc.template)
	if outcome == affinity.Full {
		f.counters.notes[TemplateFull]++
	}
	return template
}

// honours tells whether a template of server s still counts
// (ip_vs_check_template). A server that cannot be reached is like a quiesced one.
func honours(svc *service.VirtualService, s *server) bool {
	unreachable := s.real.Counts.Unreachable.Load() && !svc.KeepUnreachable
	if svc.ExpireQuiescent && (s.real.Weight == 0 || unreachable) {
		return false
	}
	return !svc.PersistentThresholds || !s.real.Counts.Overloaded.Load()
}

// setTemplateKey sets the key of the client's template (ip_vs_sched_persist):
// under a firewall mark one for all addresses, ports and protocols; otherwise one for
// a protocol and port, or for all ports of a service of port 0 or of FTP.
func setTemplateKey(key *affinity.Key, svc *service.VirtualService, t *packet.Tuple) {
	mask := &svc.Persistence.Mask
	if !t.Src.Is4() {
		mask = &svc.Persistence.Mask6
	}
	client := t.Src.And(*mask)
	switch {
	case svc.Key.Mark != 0:
		key.SetMark(client, svc.Key.Mark)
	case svc.Key.Port == 0 || svc.Key.Port == ftpControl:
		key.SetTemplate(client, t.Protocol, t.Dst, 0)
	default:
		key.SetTemplate(client, t.Protocol, t.Dst, t.DstPort)
	}
}
