package control

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/internal/nic"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/ring"
	"github.com/xlvs/xlvs/vip"
)

// openTuning puts back what a killed run left changed on interfaces, and makes
// the changes that this one asks for. It comes after the sockets: some
// interfaces have NAPI instances only with an XDP program on them.
func (d *Director) openTuning() error {
	journal, done, err := nic.OpenJournal(journalPath(d.config.Control.Socket))
	for _, what := range done {
		d.log.Info("put back what a former run had changed", "what", what)
	}
	if err != nil {
		return err
	}
	d.journal = journal
	d.onStop(func() error {
		_, err := journal.Restore()
		return err
	})
	return d.setTimers(d.tuning.busyPoll)
}

// journalPath is where a director with this control socket keeps its [nic.Journal].
func journalPath(socket string) string { return strings.TrimSuffix(socket, ".sock") + ".host.json" }

// RestoreHost puts back what a dead director with this control socket left
// changed on interfaces, and takes away the virtual addresses that one left;
// done says what of the former, one line each, and log is told of the latter.
func RestoreHost(socket string, log *slog.Logger) (done []string, err error) {
	if conn, err := net.Dial("unix", socket); err == nil {
		conn.Close()
		return nil, fmt.Errorf("control socket %s: a director answers there: stop it first", socket)
	}
	_, done, err = nic.OpenJournal(journalPath(socket))
	manager, openErr := vip.Open(vip.Options{Logger: log})
	if openErr != nil {
		return done, errors.Join(err, openErr)
	}
	return done, errors.Join(err, manager.Close()) // which removes every address with our mark
}

// setTimers sets the NAPI timers of all interfaces for busy polling, or puts
// them back.
func (d *Director) setTimers(b config.BusyPoll) error {
	if !b.Enabled {
		return d.journal.RestoreTimers()
	}
	var errs []error
	for _, p := range d.ports {
		if p.index != 0 {
			errs = append(errs, d.journal.SetTimers(p.config.Name, p.index, p.queues,
				nic.Timers{DeferHardIRQs: uint32(b.DeferHardIRQs), GROFlushTimeout: uint64(b.GROFlushTimeout)}))
		}
	}
	return errors.Join(errs...)
}

// retimePorts sets the timers of interfaces that have changed.
func (d *Director) retimePorts() {
	if err := d.setTimers(d.tuning.busyPoll); err != nil {
		d.log.Error("busy polling goes without NAPI timers", "error", err)
	}
}

// tune makes a request's settings those in force, or none of them.
func (d *Director) tune(s *Settings) error {
	next := d.tuning.with(s)
	if err := d.checkTuning(d.config, next); err != nil {
		return refusal{err}
	}
	return d.retune(next)
}

// refusal is the error of a request that cannot be granted, whatever the state.
type refusal struct{ error }

// checkTuning holds settings against the rules of the configuration's keys, and
// against this host.
func (d *Director) checkTuning(cfg *config.Config, t tuning) error {
	c := *cfg
	c.Rings.Batch, c.Rings.TransmitBudget, c.Rings.BusyPoll = t.batch, t.budget, t.busyPoll
	c.Workers.Spin, c.Workers.CPUs, c.Steering.Express, c.Log.Level = t.spin, t.cpus, t.express, t.logLevel
	errs := []error{c.Check()}
	if t.logLevel != d.tuning.logLevel && d.options.LogLevel == nil {
		errs = append(errs, errors.New("the log level of this director is fixed"))
	}
	allowed := processCPUs()
	for _, cpu := range t.cpus {
		if !slices.Contains(allowed, cpu) {
			errs = append(errs, fmt.Errorf("cpu %d: this host gives the director %v", cpu, allowed))
		}
	}
	for name := range t.coalescing {
		if !slices.ContainsFunc(d.ports, func(p *port) bool { return p.config.Name == name && p.index != 0 }) {
			errs = append(errs, fmt.Errorf("coalescing: %s is not an interface of this director", name))
		}
	}
	return errors.Join(errs...)
}

// retune goes from the settings in force to others. On an error it goes back.
func (d *Director) retune(next tuning) error {
	was := d.tuning
	if err := d.useTuning(next); err != nil {
		return errors.Join(err, d.useTuning(was))
	}
	return nil
}

// useTuning makes every part what t says. The parts that are so already are set
// again: it costs little, and none is forgotten.
func (d *Director) useTuning(t tuning) error {
	changedCPUs := !slices.Equal(t.cpus, d.tuning.cpus)
	before := d.tuning
	d.tuning = t
	var errs []error
	for i, w := range d.workers {
		errs = append(errs, w.SetBatch(t.batch), w.SetSpin(t.spin), w.EachSocket(func(s *ring.Socket) error {
			return tuneSocket(s, before, t)
		}))
		if cpus := d.workerCPUs(); changedCPUs {
			errs = append(errs, w.Pin(cpus[i%len(cpus)]))
		}
	}
	errs = append(errs, d.setTimers(t.busyPoll), d.setExpress())
	for name := range before.coalescing {
		if !reflect.DeepEqual(before.coalescing[name], t.coalescing[name]) {
			errs = append(errs, d.journal.RestoreCoalescing(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.coalescing)) {
		errs = append(errs, d.journal.SetCoalescing(name, d.ifindexes()[name], t.coalescing[name]))
	}
	if d.options.LogLevel != nil {
		errs = append(errs, d.options.LogLevel.UnmarshalText([]byte(t.logLevel)))
	}
	return errors.Join(errs...)
}

// tuneSocket changes what is new for a socket: not every kernel has the options.
func tuneSocket(s *ring.Socket, was, now tuning) error {
	var errs []error
	if was.budget != now.budget {
		errs = append(errs, s.SetTXBudget(uint32(now.budget)))
	}
	if b := busyPoll(now.busyPoll); b != s.BusyPoll() {
		errs = append(errs, s.SetBusyPoll(b))
	}
	return errors.Join(errs...)
}

// busyPoll is what sockets are told of busy polling.
func busyPoll(b config.BusyPoll) ring.BusyPoll {
	if !b.Enabled {
		return ring.BusyPoll{}
	}
	return ring.BusyPoll{Microseconds: uint32(b.Microseconds), Budget: uint32(b.Budget)}
}

// tuningAfter is the settings after a reload: what the file has changed is taken
// over, what a request has set and the file has not touched stays.
func (d *Director) tuningAfter(old, new *config.Config) tuning {
	was, now, next := tuningOf(old), tuningOf(new), d.tuning
	take(&next.batch, was.batch, now.batch)
	take(&next.budget, was.budget, now.budget)
	take(&next.spin, was.spin, now.spin)
	take(&next.busyPoll, was.busyPoll, now.busyPoll)
	take(&next.express, was.express, now.express)
	if d.options.LogLevel != nil {
		take(&next.logLevel, was.logLevel, now.logLevel)
	}
	if !slices.Equal(was.cpus, now.cpus) {
		next.cpus = now.cpus
	}
	return next
}

func take[T comparable](to *T, was, now T) {
	if was != now {
		*to = now
	}
}

// trial is settings that are taken back unless somebody asks for them again.
type trial struct {
	timer  *time.Timer
	before tuning
}

// request grants a request for settings. With a trial time the settings are
// taken back when it ends without another request; without one they are to stay.
func (d *Director) request(s *Settings, forTime time.Duration) error {
	before := d.tuning
	if err := d.tune(s); err != nil {
		return err
	}
	d.log.Info("tuned", "settings", describe(s), "trial", forTime)
	if d.trial.timer != nil {
		before = d.trial.before
		d.trial.timer.Stop()
	}
	d.trial = trial{before: before}
	if forTime > 0 {
		d.trial.timer = time.NewTimer(forTime)
	}
	return nil
}

// trialEnds is ready when a trial is over; it is nil without one.
func (d *Director) trialEnds() <-chan time.Time {
	if d.trial.timer == nil {
		return nil
	}
	return d.trial.timer.C
}

// endTrial takes the settings on trial back.
func (d *Director) endTrial() {
	before := d.trial.before
	d.trial = trial{}
	if err := d.retune(before); err != nil {
		d.log.Error("settings on trial could not be taken back", "error", err)
		return
	}
	d.log.Warn("settings on trial taken back: who tried them asked no more")
}

// describe is a request for the log.
func describe(s *Settings) string {
	var words []string
	v := reflect.ValueOf(*s)
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			words = append(words, name)
		}
	}
	return strings.Join(words, ",")
}

// currentTuning is what GET /v1/tuning answers.
func (d *Director) currentTuning() *Tuning {
	r := d.config.Rings
	t := &Tuning{
		Settings: d.tuning.settings(),
		Rings: RingSizes{Frames: r.Frames, FrameSize: r.FrameSize, RX: r.RX, TX: r.TX, Fill: r.Fill,
			Completion: r.Completion, HugePages: r.HugePages},
		GOMAXPROCS: runtime.GOMAXPROCS(0), CPUs: slices.Sorted(slices.Values(processCPUs())), Workers: []WorkerTuning{}, Interfaces: []InterfaceTuning{},
		Changes: append([]nic.Change{}, d.journal.Changes()...), Journal: journalPath(d.config.Control.Socket),
		Trial: d.trial.timer != nil, VLANs: matchesVLANs(d.config.Marks),
		Fragments: fragmented(d.config),
	}
	for _, w := range d.workers {
		thread, cpu := w.Place()
		t.Workers = append(t.Workers, WorkerTuning{Queue: w.Queue(), CPU: cpu, Thread: thread})
	}
	for _, p := range d.ports {
		t.Interfaces = append(t.Interfaces, d.interfaceTuning(p))
	}
	return t
}

func (d *Director) interfaceTuning(p *port) InterfaceTuning {
	i := InterfaceTuning{
		Name: p.config.Name, Asked: string(p.config.Mode), Modes: []string{}, Attached: p.attached.String(),
		Queues: append([]int{}, p.queues...), MaxMTU: d.umemConfig().MaxMTU(), Express: p.lane,
	}
	for _, queue := range p.queues {
		mode := "down"
		if s := p.sockets[queue]; s != nil {
			mode = s.Mode().String()
		}
		i.Modes = append(i.Modes, mode)
	}
	if p.err != nil {
		i.Error = p.err.Error()
	}
	if mode, why, err := ring.AutoMode(p.index); err == nil {
		i.Verdict = fmt.Sprintf("%v: %s", mode, why)
	}
	return i
}

// fragmented are the kinds of UDP packets that services take. TCP avoids fragments.
func fragmented(cfg *config.Config) []string {
	kinds := map[bool]string{false: "udp4", true: "udp6"}
	all := []string{}
	add := func(ipv6 bool) {
		if kind := kinds[ipv6]; !slices.Contains(all, kind) {
			all = append(all, kind)
		}
	}
	for i := range cfg.Services {
		if key := cfg.Services[i].Key; key.Mark == 0 && key.Protocol == packet.UDP {
			add(key.Addr.Is6())
		}
	}
	for _, rule := range cfg.Marks {
		for _, m := range rule.Matches {
			if len(m.Protocols) > 0 && !slices.Contains(m.Protocols, packet.UDP) {
				continue
			}
			for _, p := range m.Destinations {
				add(p.Addr().Is6())
			}
		}
	}
	slices.Sort(all)
	return all
}

func matchesVLANs(rules []config.MarkRule) bool {
	return slices.ContainsFunc(rules, func(r config.MarkRule) bool {
		return slices.ContainsFunc(r.Matches, func(m config.Match) bool { return len(m.VLANs) > 0 })
	})
}
