package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/dataplane"
	"github.com/xlvs/xlvs/internal/links"
	"github.com/xlvs/xlvs/internal/nic"
	"github.com/xlvs/xlvs/neigh"
	"github.com/xlvs/xlvs/service"
)

// Version is the release that this is; set by the linker for a release build.
var Version = "0.1.0-dev"

// Options are what Run needs.
type Options struct {
	Config *config.Config
	// Load reads the configuration again for a reload.
	Load func() (*config.Config, error)
	// Reload asks for a reload whenever something comes in.
	Reload <-chan os.Signal
	// Ephemeral leaves nothing on the host, not even after SIGKILL.
	Ephemeral bool
	// Replace displaces other XDP programs.
	Replace bool
	// FreshTables forgets what a former run knew.
	FreshTables bool
	Logger      *slog.Logger
	// LogLevel is the Logger's, for the control socket and reloads to change; nil if
	// it is fixed.
	LogLevel *slog.LevelVar
}

// Director is one running director. The goroutine of Run owns it; the control
// socket reads it by view and by what is atomic.
type Director struct {
	options Options
	log     *slog.Logger
	started time.Time

	// owned by Run's goroutine
	config   *config.Config
	pins     *bpf.Pins // nil if ephemeral
	builder  builder
	policy   *policy
	steering *bpf.Steering
	// removeSteering detaches and unpins, once.
	removeSteering func() error
	// expressBefore is what the express lane forwarded for a former run.
	expressBefore uint64
	// ready tells that the start is over: before, what a killed run left is not
	// this one's to take away.
	ready    bool
	memory   *bpf.TableMemory
	tables   *affinity.Tables
	plane    *dataplane.Plane
	ports    []*port
	workers  []*dataplane.Worker
	failures chan dataplane.Failure
	neigh    *neigh.Table
	vips     *addresses
	host     *links.Watcher
	concerns concerns
	floods   floodWatch
	sums     sumWatch
	socket   *socketServer
	rates    map[service.ID]*estimator
	bases    map[service.ID]Traffic // what the number's former servers had
	// generation counts the snapshots.
	generation uint64
	tuning     tuning
	trial      trial
	journal    *nic.Journal   // of the settings of interfaces
	undo       []func() error // what to take back at the end, last first

	// shared
	view atomic.Pointer[view]
	// requests are run by the goroutine of Run, between two events, until ended is closed.
	requests chan func()
	ended    chan struct{}
}

// Run runs a director until the context ends, then stops it cleanly. Everything
// is validated before the first change to the host; what was changed is taken
// back when a later step fails.
func Run(ctx context.Context, options Options) (err error) {
	d := &Director{
		options: options, log: options.Logger, started: time.Now(), config: options.Config,
		rates: map[service.ID]*estimator{}, bases: map[service.ID]Traffic{},
		concerns: concerns{log: options.Logger}, floods: floodWatch{log: options.Logger},
		tuning: tuningOf(options.Config), requests: make(chan func()), ended: make(chan struct{}),
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.start(); err != nil {
		return err
	}
	d.ready = true
	d.publish() // what start has learned of the host
	d.notifyReady()
	d.log.Info("ready", "services", len(d.policy.services.All()), "workers", len(d.workers))
	d.loop(ctx)
	close(d.ended)
	d.notifyStopping()
	return nil
}

// start brings the director up, step by step. Each step that changes something
// says at once how to take it back.
func (d *Director) start() error {
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"interfaces", d.findPorts},
		{"host", d.openHost},
		{"control socket", d.openSocket},
		{"pins", d.openPins},
		{"tables", d.openTables},
		{"steering", d.openSteering},
		{"configuration", d.firstPolicy},
		{"neighbours", d.openNeighbours},
		{"host", d.judge},
		{"workers", d.startWorkers},
		{"steering", d.steer},
		{"MAC addresses", d.setLocals},
		{"sockets", d.openPorts},
		{"tuning", d.openTuning},
		{"express lane", d.setExpress},
		{"addresses", d.openAddresses},
		{"host", d.judge}, // now that it is known how the program is attached
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	d.show()
	d.onStop(d.socket.close) // before what it shows goes away
	go d.socket.serve(d)
	return nil
}

// onStop remembers how to take back what was just done.
func (d *Director) onStop(f func() error) { d.undo = append(d.undo, f) }

// stop takes everything back, last first.
func (d *Director) stop() error {
	var errs []error
	for i := len(d.undo) - 1; i >= 0; i-- {
		errs = append(errs, d.undo[i]())
	}
	d.undo = nil
	return errors.Join(errs...)
}

// openPins opens the directory of what outlives the process, and so makes sure that this
// is the only director.
func (d *Director) openPins() (err error) {
	if d.options.Ephemeral {
		return nil
	}
	if d.pins, err = bpf.OpenPins(d.config.Steering.Pin); err != nil {
		return err
	}
	d.onStop(d.pins.Close)
	return nil
}

// openSteering loads the XDP program over the tables. One that a former run left attached
// goes on over its own, until openPorts exchanges it.
func (d *Director) openSteering() error {
	steering, err := bpf.Open(bpf.Options{
		Pins: d.pins, Tables: d.memory, Servers: uint32(d.config.Tables.Servers),
		Fallback: fallback(d.config.Steering.Fallback), Replace: d.options.Replace,
	})
	if err != nil {
		return err
	}
	d.steering = steering
	left, err := steering.Attached()
	d.removeSteering = sync.OnceValue(func() error {
		if len(left) > 0 && !d.ready {
			return steering.Close()
		}
		return steering.Remove()
	})
	d.onStop(d.removeSteering)
	return err
}

func fallback(f config.Fallback) bpf.Fallback {
	if f == config.Pass {
		return bpf.FallbackPass
	}
	return bpf.FallbackDrop
}

// openTables maps the tables' memory: a former run's with all it holds, or new.
func (d *Director) openTables() error {
	t := d.config.Tables
	geometry := affinity.Config{
		Connections4: uint32(t.Connections), Connections6: uint32(t.Connections6),
		Templates4: uint32(t.Templates), Templates6: uint32(t.Templates6), Servers: uint32(t.Servers),
	}
	open := bpf.OpenTables
	if d.options.FreshTables {
		open = bpf.ReplaceTables
	}
	memory, err := open(d.pins, geometry.Size())
	if err != nil {
		return err
	}
	d.memory = memory
	d.onStop(func() error {
		if memory.Existed() && !d.ready {
			return memory.Close()
		}
		return memory.Remove()
	})
	if memory.Existed() {
		d.tables, err = affinity.Attach(memory.Bytes(), geometry)
	} else {
		d.tables, err = affinity.Format(memory.Bytes(), geometry)
	}
	if err != nil {
		return fmt.Errorf("%w; to start without the connections and templates in %s/tables use --fresh-tables", err, d.config.Steering.Pin)
	}
	if memory.Existed() {
		s := d.tables.Stats()
		d.log.Info("took over the tables of a former run",
			"connections", s.Connections4.Live+s.Connections6.Live, "templates", s.Templates4.Live+s.Templates6.Live)
	}
	return nil
}

// openSocket opens the control socket. It answers when the director is ready.
func (d *Director) openSocket() error {
	s, err := listen(d.config.Control.Socket)
	if err != nil {
		return err
	}
	d.socket = s
	d.onStop(s.close)
	return nil
}

// firstPolicy builds the configuration's policy.
func (d *Director) firstPolicy() error {
	d.builder = builder{tables: d.tables}
	p, err := d.builder.build(d.config, d.ifindexes())
	if err != nil {
		return err
	}
	d.policy = p
	d.builder.previous = p.services
	d.builder.bound(p.services)
	d.builder.release(p.services)
	d.plane = dataplane.NewPlane(d.tables, d.config.Tables.Servers, d.snapshot())
	return d.noteCarried()
}

// openNeighbours starts following the next hops of the real servers.
func (d *Director) openNeighbours() error {
	table, err := neigh.Open(neigh.Options{Logger: d.log, Interfaces: d.portNames()})
	if err != nil {
		return err
	}
	d.neigh = table
	d.onStop(table.Close)
	addrs := serverAddrs(d.policy)
	table.Want(addrs)
	d.awaitNeighbours(addrs)
	return nil
}

// neighbourPatience is how long to wait for the MAC addresses of servers before
// clients are sent to them: until then their packets would be dropped.
const neighbourPatience = 500 * time.Millisecond

// awaitNeighbours waits until all addresses are resolved, but not for long: a
// server may be down.
func (d *Director) awaitNeighbours(addrs []netip.Addr) {
	patience := time.After(neighbourPatience)
	for !d.resolved(addrs) {
		select {
		case <-d.neigh.Changed():
		case <-patience:
			return
		}
	}
}

func (d *Director) resolved(addrs []netip.Addr) bool {
	return !slices.ContainsFunc(addrs, func(addr netip.Addr) bool {
		_, status := d.neigh.Lookup(addr)
		return !status.OK()
	})
}

// steer tells the XDP program what to redirect.
func (d *Director) steer() error {
	if err := d.steering.SetNoConnectionLimit(noConnectionLimit(d.policy.services.All())); err != nil {
		return err
	}
	return d.steering.Update(d.policy.steerRules, d.policy.steerServices)
}
