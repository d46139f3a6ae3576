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
	arrive  prefix = iota // frames are written, the harness's own work
	parse                 // headers are read
	hash                  // keys are made of them, and hashed
	touch                 // what lookups will look at is loaded
	lookup                // connections are found, or not
	prepare               // those that are new have their firewall mark, service and template's key, which is staged
	whole                 // new: template, scheduler, entries; all: state, MAC addresses, counters
	prefixCount
)

// stageNames names what each prefix adds, as results do.
var stageNames = [prefixCount]string{"arrive", "parse", "hash", "touch", "lookup", "prepare", "forward"}

// walk is what it takes to run prefixes. It follows dataplane.Forwarder step by step:
// the same calls in the same order, under the same conditions, which a test checks.
type walk struct {
	director  *director
	forwarder *dataplane.Forwarder
	tables    *affinity.Tables
	snapshot  *dataplane.Snapshot
	verdicts  [dataplane.MaxBatch]dataplane.Verdict
	parsed    [dataplane.MaxBatch]packet.Parsed
	known     batch
	missed    batch
	kept      uint64 // keeps the compiler from dropping work
	refused   int    // packets that were not forwarded; there should be none
}

func newWalk(d *director) walk {
	return walk{director: d, forwarder: dataplane.NewForwarder(d.plane), tables: d.tables, snapshot: d.plane.Snapshot()}
}

// batch is keys on their way through a stage.
type batch struct {
	n      int
	frame  [dataplane.MaxBatch]uint16 // number of the frame
	keys   [dataplane.MaxBatch]affinity.Key
	hashes [dataplane.MaxBatch]affinity.Hash
}

// run takes a batch through a prefix.
func (w *walk) run(p prefix, frames []dataplane.Frame) {
	if p == whole {
		w.forward(frames)
		return
	}
	w.known.n = len(frames)
	if p >= parse {
		w.parse(frames, p >= hash)
	}
	if p >= touch {
		w.touch()
	}
	if p >= lookup {
		w.look()
	}
	if p >= prepare && w.missed.n > 0 {
		w.prepare()
	}
}

// parse reads the headers, and makes keys and hashes of them if asked to.
func (w *walk) parse(frames []dataplane.Frame, hash bool) {
	b := &w.known
	for i := range frames {
		w.kept += uint64(packet.Parse(frames[i].Bytes(), &w.parsed[i]))
		if hash {
			b.keys[i].SetConn(&w.parsed[i].Tuple)
			b.hashes[i] = w.tables.Conns.Hash(&b.keys[i])
		}
	}
}

// touch loads what the lookups will look at.
func (w *walk) touch() {
	b := &w.known
	switch manyNew := 4*w.missed.n > b.n; {
	case manyNew:
		w.kept ^= w.tables.Conns.StageNew(b.keys[:b.n], b.hashes[:b.n])
	case !w.tables.Conns.Cached():
		w.kept ^= w.tables.Conns.Stage(b.keys[:b.n], b.hashes[:b.n])
	}
}

// look finds the connections of the batch, and gathers the packets without one.
func (w *walk) look() {
	b := &w.known
	w.missed.n = 0
	for i := range b.n {
		entry, found := w.tables.Conns.Lookup(b.hashes[i], &b.keys[i], w.director.now)
		w.kept += uint64(entry.Server())
		if !found {
			w.missed.frame[w.missed.n] = uint16(i)
			w.missed.n++
		}
	}
}

// prepare finds the services of the packets that look gathered, and stages their
// clients' templates. The service's persistence is for each address on its own.
func (w *walk) prepare() {
	b := &w.missed
	for m := range b.n {
		p := &w.parsed[b.frame[m]]
		found := w.snapshot.Marks.Match(p, 1)
		if w.snapshot.Services.Lookup(uint32(found), &p.Tuple) == nil {
			w.refused++
		}
		b.keys[m].SetMark(p.Tuple.Src, uint32(found))
		b.hashes[m] = w.tables.Templates.Hash(&b.keys[m])
	}
	if b.n > 1 {
		w.kept ^= w.tables.Templates.StageNew(b.keys[:b.n], b.hashes[:b.n])
	}
}

// forward is the whole pipeline.
func (w *walk) forward(frames []dataplane.Frame) {
	w.forwarder.Forward(frames, 1, w.director.now, w.verdicts[:])
	for i := range frames {
		if w.verdicts[i].Reason != dataplane.Forwarded {
			w.refused++
		}
	}
}
