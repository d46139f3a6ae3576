package dataplane

import (
	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// found forwards packet j of the known ones, which has an entry.
func (f *Forwarder) found(j int, entry *affinity.Entry, p *packet.Parsed, frame *Frame) Verdict {
	switch p.Kind {
	case packet.KindFlow:
		return f.carry(j, entry, p, frame)
	case packet.KindFirst:
		v := f.carry(j, entry, p, frame)
		f.noteFragment(p, v)
		return v
	}
	return f.follow(entry.Server(), p, frame)
}

// unknown decides on packet j of the known ones, number m of those that have no entry.
func (f *Forwarder) unknown(j, m int, frame *Frame) Verdict {
	p := &f.parsed[f.known.frame[j]]
	switch p.Kind {
	case packet.KindFragment:
		if f.patient {
			return Verdict{Reason: held}
		}
		return Verdict{Reason: FragmentUnknown}
	case packet.KindError:
		return Verdict{Reason: ErrorUnknown}
	}
	v := f.schedule(j, m, frame)
	if p.Kind == packet.KindFirst {
		f.noteFragment(p, v)
	}
	return v
}

// carry forwards a packet of a connection that has an entry, and moves the
// entry's state and timer.
func (f *Forwarder) carry(j int, entry *affinity.Entry, p *packet.Parsed, frame *Frame) Verdict {
	s := f.snapshot.lookup(entry.Server())
	e := eventOf(p)
	anew := begins(e) && f.mayReschedule(entry, s)
	if s == nil || anew {
		return f.reschedule(j, entry, anew, frame)
	}
	state := entry.State()
	to := inputOnly[state][e]
	if to != state && to != affinity.StateNone || !entry.Settled(f.now, s.svc.timeouts[state]) {
		switch _, u := f.tables.Conns.Update(entry, &inputOnly, e, f.now, &s.svc.timeouts); u {
		case affinity.Gone:
			return f.overtaken(j, frame)
		case affinity.Became:
			f.hold(entry, s, &p.Tuple)
		}
	}
	if s.refreshed {
		f.tables.Conns.RefreshTemplate(entry, f.now, s.svc.template)
	}
	if s.takes(p, frame) { // as xmit does, a call less for nearly all
		s.rewrite(p, frame)
		f.sent(s, p)
		return Verdict{Port: s.port}
	}
	return f.xmit(s, p, frame, entry)
}

// overtaken deals with a packet whose entry went while it was looked at: another worker
// forgot it, to make another in its place or one of somebody else's.
func (f *Forwarder) overtaken(j int, frame *Frame) Verdict {
	p := &f.parsed[f.known.frame[j]]
	if now, found := f.tables.Conns.Lookup(f.known.hashes[j], &f.known.keys[j], f.now); found {
		return f.follow(now.Server(), p, frame)
	}
	f.want(spare, f.service(p), &p.Tuple)
	return f.schedule(j, spare, frame)
}

// hold makes the template of a connection that was just assured assured, too, and lets
// the connection hold it. It finds the template by its key. One that gave way meanwhile
// is made anew; one that has another server by now stands, and the connection does without.
func (f *Forwarder) hold(entry *affinity.Entry, s *server, t *packet.Tuple) {
	if !s.svc.Persistent {
		return
	}
	templates, key := &f.tables.Templates, &f.key
	setTemplateKey(key, s.svc.VirtualService, t)
	h := templates.Hash(key)
	template, found := templates.Lookup(h, key, f.now)
	if !found {
		template = f.newTemplate(h, key, s)
	}
	if template.Valid() && template.Server() == s.id && templates.Assure(&template) {
		f.tables.Conns.Hold(entry, &template)
	}
}

// silence is for how many seconds after a reset a SYN does not move a connection: both may
// be forged, and then the client's next segment opens the connection again.
const silence = 2

// mayReschedule tells whether a packet that begins a connection begins another over the
// entry, whose server is s or was removed (ip_vs_in: conn_reuse_mode 1, and
// expire_nodest_conn for quiesced servers).
func (f *Forwarder) mayReschedule(entry *affinity.Entry, s *server) bool {
	if s != nil && s.svc.ExpireNoDest && s.real.Weight == 0 {
		return true
	}
	known := entry.Grade() > affinity.Assured
	switch {
	case !ended(entry.State()) || entry.HasTemplate():
		return false
	case s == nil, s.real.Weight == 0 && !known: // so that a drain ends
		return true
	}
	seconds, closed := entry.ClosedFor(f.now)
	if closed {
		return seconds > silence
	}
	// A TCP client that is known for seconds comes to TIME_WAIT by forged packets only.
	return entry.State() != affinity.StateTCPTimeWait || !known
}

// reschedule deals with a packet that begins another connection over the entry, and
// otherwise with one whose connection has lost its server. If the service went, too, the
// snapshot says what becomes of it.
func (f *Forwarder) reschedule(j int, entry *affinity.Entry, anew bool, frame *Frame) Verdict {
	p := &f.parsed[f.known.frame[j]]
	svc := f.service(p)
	expire := f.snapshot.ExpireNoDest
	if svc != nil {
		expire = svc.ExpireNoDest
	}
	if !anew && !expire {
		return Verdict{Reason: ServerGone}
	}
	f.tables.Conns.Delete(entry)
	f.want(spare, svc, &p.Tuple)
	return f.schedule(j, spare, frame)
}

// follow forwards what belongs to a connection without moving its state: a
// later fragment, an ICMP error.
func (f *Forwarder) follow(id service.ID, p *packet.Parsed, frame *Frame) Verdict {
	s := f.snapshot.lookup(id)
	if s == nil {
		return Verdict{Reason: ServerGone}
	}
	return f.xmit(s, p, frame, nil)
}

// noteFragment lets the later fragments of a packet follow its first one. Those of a first
// one that went nowhere do not follow an older packet of the same identification.
func (f *Forwarder) noteFragment(p *packet.Parsed, v Verdict) {
	key, conns := &f.key, &f.tables.Conns
	key.SetFragment(&p.Tuple, p.FragmentID)
	h := conns.Hash(key)
	if v.Reason != Forwarded {
		if old, found := conns.Lookup(h, key, f.now); found {
			conns.Delete(&old)
		}
		return
	}
	timeout := f.snapshot.lookup(f.chosen).svc.timeouts[affinity.StateFragment]
	conns.SetFragment(h, key, f.chosen, &affinity.Entry{}, f.now, timeout)
	f.plane.noted.Add(1)
}
