package pipeline

import (
	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/dataplane"
	"github.com/xlvs/xlvs/packet"
)

// A prefix is the pipeline up to a stage.
type prefix int

// The prefixes. Each does all that the ones before it do.
const (
	arrive prefix = iota // frames are written, the harness's own work
	parse                // headers are read
	hash                 // keys are made of them, and hashed
	touch                // the lines of the table are on their way
	lookup               // connections are found, or not
	match                // those that are new have their firewall mark and service
	whole                // new: template, scheduler, entries; all: state, MAC addresses, counters
	prefixCount
)

// stageNames names what each prefix adds, as results do.
var stageNames = [prefixCount]string{"arrive", "parse", "hash", "touch", "lookup", "match", "forward"}

// walk is what it takes to run prefixes. It follows dataplane.Forwarder step by step.
type walk struct {
	director  *director
	forwarder *dataplane.Forwarder
	snapshot  *dataplane.Snapshot
	verdicts  [dataplane.MaxBatch]dataplane.Verdict
	parsed    [dataplane.MaxBatch]packet.Parsed
	keys      [dataplane.MaxBatch]affinity.Key
	hashes    [dataplane.MaxBatch]affinity.Hash
	kept      uint64 // keeps the compiler from dropping work
	refused   int    // packets that were not forwarded; there should be none
}

// run takes a batch through a prefix.
func (w *walk) run(p prefix, frames [][]byte) {
	if p == whole {
		w.forward(frames)
		return
	}
	if p >= parse {
		for i, frame := range frames {
			w.kept += uint64(packet.Parse(frame, &w.parsed[i]))
		}
	}
	if p >= hash {
		for i := range frames {
			w.keys[i].SetConn(&w.parsed[i].Tuple)
			w.hashes[i] = w.director.tables.Conns.Hash(&w.keys[i])
		}
	}
	if p >= touch {
		for i := range frames {
			w.kept ^= w.director.tables.Conns.Touch(w.hashes[i], w.keys[i].IPv6())
		}
	}
	if p >= lookup {
		w.look(len(frames), p >= match)
	}
}

// look finds the connections of n packets, and the service of those without one.
func (w *walk) look(n int, further bool) {
	conns, now := &w.director.tables.Conns, w.director.now
	for i := range n {
		entry, found := conns.Lookup(w.hashes[i], &w.keys[i], now)
		w.kept += uint64(entry.Server())
		if found || !further {
			continue
		}
		p := &w.parsed[i]
		m := w.snapshot.Marks.Match(p, 1)
		if w.snapshot.Services.Lookup(uint32(m), &p.Tuple) == nil {
			w.refused++
		}
	}
}

// forward is the whole pipeline.
func (w *walk) forward(frames [][]byte) {
	w.forwarder.Forward(frames, 1, w.director.now, w.verdicts[:])
	for i := range frames {
		if w.verdicts[i].Reason != dataplane.Forwarded {
			w.refused++
		}
	}
}
