package dataplane

import (
	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// MaxBatch is the most frames that Forward takes at once.
const MaxBatch = 256

// Forwarder decides on frames. One goroutine uses it; its counters may be read
// by others.
type Forwarder struct {
	plane    *Plane
	tables   *affinity.Tables
	counters *counters

	// of the batch at hand
	snapshot *Snapshot
	now      affinity.Tick
	ifindex  uint32
	chosen   service.ID   // the server of the frame forwarded last
	key      affinity.Key // of a template or of fragments
	init     affinity.ConnInit
	request  service.Request // for the scheduler, which takes a pointer: here, it is never allocated

	// one a frame of the batch, so that the stages can pass on what they found
	parsed [MaxBatch]packet.Parsed
	keys   [MaxBatch]affinity.Key
	hashes [MaxBatch]affinity.Hash
	early  [MaxBatch]Reason // Forwarded, or the reason to drop that parsing gave
	touch  uint64           // keeps the compiler from dropping the touches
}

// NewForwarder returns a forwarder over a plane.
func NewForwarder(plane *Plane) *Forwarder {
	return &Forwarder{plane: plane, tables: plane.Tables, counters: newCounters(plane.servers + 1)}
}

// Forward decides on a batch of frames that came in by the interface ifindex,
// rewrites those that go on, and sets a verdict for each. len(frames) is at
// most MaxBatch and len(verdicts). The frames stay the caller's.
//
// It works stage by stage, each over the whole batch, so that the cache misses
// of different packets overlap: parse, hash and touch the buckets, decide.
func (f *Forwarder) Forward(frames [][]byte, ifindex int, now affinity.Tick, verdicts []Verdict) {
	f.snapshot, f.now, f.ifindex = f.plane.snapshot.Load(), now, uint32(ifindex)
	for i, frame := range frames {
		f.early[i] = f.parse(frame, &f.parsed[i])
	}
	f.hash(len(frames))
	for i, frame := range frames {
		v := Verdict{Reason: f.early[i]}
		if v.Reason == Forwarded {
			v = f.decide(i, frame)
		}
		f.counters.reasons[v.Reason]++
		verdicts[i] = v
	}
}

// hash makes the keys of the first n packets, hashes them, and begins to load
// the lines where their connections are. The loads have a loop of their own: the
// fewer instructions are between two of them, the more of them wait together.
func (f *Forwarder) hash(n int) {
	for i := range n {
		if f.early[i] != Forwarded {
			f.hashes[i] = 0
			continue
		}
		p := &f.parsed[i]
		if p.Kind == packet.KindFragment {
			f.keys[i].SetFragment(&p.Tuple, p.FragmentID)
		} else {
			f.keys[i].SetConn(&p.Tuple)
		}
		f.hashes[i] = f.tables.Conns.Hash(&f.keys[i])
	}
	touched := f.touch
	for i := range n {
		touched ^= f.tables.Conns.Touch(f.hashes[i], f.keys[i].IPv6())
	}
	f.touch = touched
}

// parse reads one frame's headers and tells whether it is worth a look.
func (f *Forwarder) parse(frame []byte, p *packet.Parsed) Reason {
	if m := packet.Parse(frame, p); m != packet.OK {
		return malformed(m)
	}
	if p.Kind == packet.KindOther {
		return NotBalanced
	}
	return Forwarded
}

// decide finds the packet's server, by its connection or by scheduling it, and
// rewrites the frame for it. As in IPVS the connection comes before the service.
func (f *Forwarder) decide(i int, frame []byte) Verdict {
	p := &f.parsed[i]
	entry, found := f.tables.Conns.Lookup(f.hashes[i], &f.keys[i], f.now)
	switch {
	case found && p.Kind == packet.KindFlow:
		return f.known(i, &entry, frame)
	case found && p.Kind == packet.KindFirst:
		v := f.known(i, &entry, frame)
		f.noteFragment(p, v)
		return v
	case found:
		return f.follow(entry.Server(), p, frame)
	case p.Kind == packet.KindFragment:
		return Verdict{Reason: FragmentUnknown}
	case p.Kind == packet.KindError:
		return Verdict{Reason: ErrorUnknown}
	}
	v := f.schedule(i, frame)
	if p.Kind == packet.KindFirst {
		f.noteFragment(p, v)
	}
	return v
}

// known forwards a packet of a connection that has an entry, and moves the
// entry's state and timer.
func (f *Forwarder) known(i int, entry *affinity.Entry, frame []byte) Verdict {
	p := &f.parsed[i]
	s := f.snapshot.lookup(entry.Server())
	e := eventOf(p)
	if s == nil || (e == eventSyn && f.mayReschedule(entry, s)) {
		return f.reschedule(i, entry, s, frame)
	}
	state := next[entry.State()][e]
	flags := affinity.Assured // the client answered, or came back: it is no invented address
	if state == affinity.StateSynRecv || state == affinity.StateSCTPInit {
		flags = 0
	}
	f.tables.Conns.Update(entry, state, flags, f.now, s.svc.timeouts[state])
	if s.svc.Persistence.Refresh == service.RefreshPacket && s.svc.Persistent {
		f.tables.Conns.RefreshTemplate(entry, f.now, s.svc.template)
	}
	return f.direct(s, p, frame)
}

// mayReschedule tells whether a SYN for a known connection is a new one that
// reuses its port (ip_vs_core.c, is_new_conn_expected with conn_reuse_mode 1,
// and expire_nodest_conn for quiesced servers).
func (f *Forwarder) mayReschedule(entry *affinity.Entry, s *server) bool {
	if s.svc.ExpireNoDest && s.real.Weight == 0 {
		return true
	}
	return entry.State() == affinity.StateClose && !entry.HasTemplate()
}

// reschedule deals with a packet whose connection has lost its server, or that
// opens a new one over a finished one.
func (f *Forwarder) reschedule(i int, entry *affinity.Entry, s *server, frame []byte) Verdict {
	p := &f.parsed[i]
	if s == nil {
		svc := f.snapshot.Services.Lookup(uint32(f.snapshot.Marks.Match(p, f.ifindex)), &p.Tuple)
		if svc == nil || !svc.ExpireNoDest {
			return Verdict{Reason: ServerGone}
		}
	}
	f.tables.Conns.Delete(entry)
	return f.schedule(i, frame)
}

// follow forwards what belongs to a connection without moving its state: a
// later fragment, an ICMP error.
func (f *Forwarder) follow(id service.ID, p *packet.Parsed, frame []byte) Verdict {
	s := f.snapshot.lookup(id)
	if s == nil {
		return Verdict{Reason: ServerGone}
	}
	return f.direct(s, p, frame)
}

// direct rewrites a frame for direct routing: new MAC addresses, the packet
// and its VLAN tags untouched (ip_vs_dr_xmit).
func (f *Forwarder) direct(s *server, p *packet.Parsed, frame []byte) Verdict {
	if s.port == NoPort {
		return Verdict{Reason: NeighbourUnresolved}
	}
	copy(frame[:12], s.macs[:])
	f.chosen = s.id
	f.counters.carried(s.id.Number(), int(p.Len))
	return Verdict{Port: s.port}
}

// noteFragment lets the later fragments of a packet follow its first one.
func (f *Forwarder) noteFragment(p *packet.Parsed, v Verdict) {
	if v.Reason != Forwarded {
		return
	}
	key := &f.key
	key.SetFragment(&p.Tuple, p.FragmentID)
	f.init = affinity.ConnInit{
		Server:  f.chosen,
		State:   affinity.StateFragment,
		Timeout: f.snapshot.lookup(f.chosen).svc.timeouts[affinity.StateFragment],
	}
	f.tables.Conns.Insert(f.tables.Conns.Hash(key), key, &f.init, f.now)
}

// undo corrects the count of a frame that could not be sent after all.
func (f *Forwarder) undo(reason Reason) {
	f.counters.reasons[Forwarded]--
	f.counters.reasons[reason]++
}

// Publish makes the counts so far visible to readers.
func (f *Forwarder) Publish() { f.counters.publish() }
