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
	patient  bool         // whether somebody holds fragments that come before their first
	in       int          // the port that the batch came by; -1 if the snapshot has it not
	chosen   service.ID   // the server of the frame forwarded last
	about    about        // for an answer
	key      affinity.Key // of the fragments noted last
	init     affinity.ConnInit
	request  service.Request // for the scheduler, which takes a pointer: here, it is never allocated
	folded   uint64          // what staging loaded, kept lest the compiler drop the loads

	parsed [MaxBatch]packet.Parsed // one a frame
	known  batch                   // the packets that may have connections
	missed batch                   // of those, the ones that have none
	// services has the service of each that is missed, nil for none.
	services [MaxBatch + 1]*service.VirtualService

	// of the second at hand: answers to those whose connection is known, and to others
	acquainted, newcomers budget
}

// spare is the number of a missed packet that is not one of the batch's: of one
// whose entry turned out to be of no use.
const spare = MaxBatch

// batch is some packets of a batch on their way through a stage, with the keys
// to look up for them.
type batch struct {
	n      int
	frame  [MaxBatch]uint16 // number of the frame
	keys   [MaxBatch + 1]affinity.Key
	hashes [MaxBatch + 1]affinity.Hash
}

// hashSet is hashes, roughly: it may take one for another (a Bloom filter with
// one bit a hash).
type hashSet [16]uint64

// add puts a hash into the set and reports whether it may have been there.
func (s *hashSet) add(h affinity.Hash) bool {
	word, bit := &s[h>>6%16], uint64(1)<<(h%64)
	there := *word&bit != 0
	*word |= bit
	return there
}

// NewForwarder returns a forwarder over a plane.
func NewForwarder(plane *Plane) *Forwarder {
	return &Forwarder{plane: plane, tables: plane.Tables, counters: newCounters(plane.servers + 1)}
}

// Forward decides on a batch of frames that came in by the interface ifindex,
// rewrites those that go on or are turned round into answers, and sets a verdict for each.
// len(frames) is at most MaxBatch and len(verdicts). The frames stay the caller's.
//
// It works stage by stage, each over the whole batch, so that the waits for
// memory of different packets overlap: parse all; look up the connections of all; for
// those without one, prepare what scheduling needs; then schedule them.
func (f *Forwarder) Forward(frames []Frame, ifindex int, now affinity.Tick, verdicts []Verdict) {
	f.snapshot, f.now, f.ifindex = f.plane.snapshot.Load(), now, uint32(ifindex)
	f.in = f.snapshot.port(ifindex)
	f.parse(frames, verdicts)
	if f.in >= 0 && f.snapshot.Ports[f.in].Partial {
		f.complete(frames)
	}
	f.lookup(frames, verdicts)
	if f.missed.n > 0 {
		f.prepare()
		f.decide(frames, verdicts)
	}
	f.counters.count(verdicts[:len(frames)])
}

// parse reads the headers. What is worth a look goes on with its key; the rest
// has its verdict.
func (f *Forwarder) parse(frames []Frame, verdicts []Verdict) {
	b := &f.known
	b.n = 0
	for i := range frames {
		p := &f.parsed[i]
		if m := packet.Parse(frames[i].Bytes(), p); m != packet.OK {
			verdicts[i] = Verdict{Reason: malformed(m)}
			continue
		}
		key := &b.keys[b.n]
		switch p.Kind {
		case packet.KindOther:
			verdicts[i] = Verdict{Reason: NotBalanced}
			continue
		case packet.KindFragment:
			key.SetFragment(&p.Tuple, p.FragmentID)
		default:
			key.SetConn(&p.Tuple)
		}
		b.hashes[b.n] = f.tables.Conns.Hash(key)
		b.frame[b.n] = uint16(i)
		b.n++
	}
	// As many of these may be new as of the last batch were.
	switch manyNew := 4*f.missed.n > b.n; {
	case manyNew:
		f.folded ^= f.tables.Conns.StageNew(b.keys[:b.n], b.hashes[:b.n])
	case !f.tables.Conns.Cached():
		f.folded ^= f.tables.Conns.Stage(b.keys[:b.n], b.hashes[:b.n])
	}
}

// complete makes partial checksums whole.
func (f *Forwarder) complete(frames []Frame) {
	for _, i := range f.known.frame[:f.known.n] {
		if packet.Complete(frames[i].Bytes(), &f.parsed[i]) {
			f.counters.notes[ChecksumCompleted]++
		}
	}
}

// lookup forwards the packets that have a connection, and gathers the others.
func (f *Forwarder) lookup(frames []Frame, verdicts []Verdict) {
	f.missed.n = 0
	for j := range f.known.n {
		i := f.known.frame[j]
		p := &f.parsed[i]
		entry, found := f.tables.Conns.Lookup(f.known.hashes[j], &f.known.keys[j], f.now)
		switch {
		case !found:
			f.missed.frame[f.missed.n] = uint16(j)
			f.missed.n++
		case p.Kind == packet.KindFlow: // as found does, a call less for nearly all
			verdicts[i] = f.carry(j, &entry, p, &frames[i])
		default:
			verdicts[i] = f.found(j, &entry, p, &frames[i])
		}
	}
}

// prepare finds the services of the packets without a connection, and stages the
// lookups of their clients' templates.
func (f *Forwarder) prepare() {
	b := &f.missed
	for m := range b.n {
		p := &f.parsed[f.known.frame[b.frame[m]]]
		if p.Kind == packet.KindFlow || p.Kind == packet.KindFirst {
			f.want(m, f.service(p), &p.Tuple)
		}
	}
	if b.n > 1 {
		f.folded ^= f.tables.Templates.StageNew(b.keys[:b.n], b.hashes[:b.n])
	}
}

// want notes the service of missed packet m, and the key of its client's template.
func (f *Forwarder) want(m int, svc *service.VirtualService, t *packet.Tuple) {
	f.services[m] = svc
	if svc != nil && svc.Persistent {
		setTemplateKey(&f.missed.keys[m], svc, t)
		f.missed.hashes[m] = f.tables.Templates.Hash(&f.missed.keys[m])
	}
}

// decide schedules the packets without a connection. The first of them may have
// given one to those after it.
func (f *Forwarder) decide(frames []Frame, verdicts []Verdict) {
	var before hashSet
	for m := range f.missed.n {
		j := int(f.missed.frame[m])
		i := f.known.frame[j]
		later := f.parsed[i].Kind == packet.KindFragment // follows another key, that of its first
		if before.add(f.known.hashes[j]) || later && m > 0 {
			if entry, found := f.tables.Conns.Lookup(f.known.hashes[j], &f.known.keys[j], f.now); found {
				verdicts[i] = f.found(j, &entry, &f.parsed[i], &frames[i])
				continue
			}
		}
		verdicts[i] = f.unknown(j, m, &frames[i])
	}
}

// packetAt is where the packet begins in frame i of the last batch, as it is now.
func (f *Forwarder) packetAt(i int) int { return int(f.parsed[i].L3) }

// undo corrects the counts of a frame that could not be sent after all.
func (f *Forwarder) undo(v *Verdict, reason Reason) {
	switch {
	case v.Answer:
		f.counters.notes[Answered]--
		v.Answer = false
	case v.Reason == Forwarded:
		f.counters.reasons[Forwarded]--
		f.counters.reasons[reason]++
		v.Reason = reason
	}
}

// Publish makes the counts so far visible to readers.
func (f *Forwarder) Publish() { f.counters.publish() }
