package control

import (
	"log/slog"
	"time"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/dataplane"
)

// flood is one kind of packets that cannot have what they ask for.
type flood struct {
	name string // of the counter
	// text is what is so, a colon, and what to do.
	text string
}

// The kinds of floods.
const (
	floodConnections = iota
	floodTemplates
	floodPort
	floodAnswers
	floodNoConnection
	floodKinds
)

var floods = [floodKinds]flood{
	floodConnections: {"table_full",
		"new clients are refused, the connection table is full of clients heard for longer: see who they " +
			"are by `xlvs list --connections`, raise tables.connections, or shorten timeouts"},
	floodTemplates: {"templates_full",
		"new clients go without persistence, the template table is full: raise tables.templates, " +
			"shorten the timeouts of persistence, or widen its masks"},
	floodPort: {"client_port_full",
		"connections are refused, their client port has too many already: a proxy that uses one port " +
			"for many virtual addresses needs more source addresses"},
	floodAnswers: {"answer_limited",
		"more packets are refused than may be answered, and the rest is dropped in silence: see by " +
			"`xlvs list --status` why; if it is an attack, refuse: drop saves the work"},
	floodNoConnection: {"no_connection",
		"TCP packets without a connection are dropped by the XDP program: an attack, or clients of " +
			"another director; for those set sloppy: true"},
}

const (
	// floodPause is the shortest time between two lines about one kind.
	floodPause = time.Minute
	// floodOver is how long nothing must have happened for a flood to be over.
	floodOver = 30 * time.Second
)

// floodWatch tells of floods while they last, each kind once a minute at most.
type floodWatch struct {
	log   *slog.Logger
	kinds [floodKinds]struct {
		last    uint64    // the counter
		known   bool      // last is set
		pending uint64    // packets that no line has told of
		seen    time.Time // when the last packet was seen
		told    time.Time // when a line told of it
		open    bool      // a line has told that it began, and none that it is over
	}
}

// update takes the counters of now, by kind.
func (w *floodWatch) update(counts [floodKinds]uint64, now time.Time) {
	for i := range w.kinds {
		k := &w.kinds[i]
		more := counts[i] - k.last
		if !k.known || counts[i] < k.last { // of a former run
			more = 0
		}
		k.last, k.known = counts[i], true
		if more > 0 {
			k.pending += more
			k.seen = now
		}
		switch {
		case k.pending > 0 && (k.told.IsZero() || now.Sub(k.told) >= floodPause):
			w.log.Warn(floods[i].text, "counter", floods[i].name, "packets", k.pending, "total", counts[i])
			k.pending, k.told, k.open = 0, now, true
		case k.open && now.Sub(k.seen) >= floodOver:
			w.log.Info("over: "+floods[i].name+" counts no more", "total", counts[i])
			k.open = false
		}
	}
}

// watchCounters reads the counters once a second.
func (d *Director) watchCounters(now time.Time) {
	var counts [floodKinds]uint64
	var reasons [dataplane.Reasons]uint64
	var notes [dataplane.Notes]uint64
	for _, w := range d.workers {
		w.Forwarder().Reasons(&reasons)
		w.Forwarder().Notes(&notes)
	}
	var frames uint64
	for _, n := range reasons {
		frames += n
	}
	counts[floodAnswers] = notes[dataplane.AnswerLimited]
	stats := d.tables.Stats()
	for _, t := range []affinity.TableStats{stats.Connections4, stats.Connections6} {
		counts[floodConnections] += t.Full
		counts[floodPort] += t.PortFull
	}
	counts[floodTemplates] = stats.Templates4.Full + stats.Templates6.Full
	if steering, err := d.steering.Counters(); err == nil {
		counts[floodNoConnection] = steering[bpf.NoConnection]
		frames += steering[bpf.Express] // a cured sender's frames come to no worker
	}
	d.sums.update(notes[dataplane.ChecksumCompleted], frames)
	d.floods.update(counts, now)
}
