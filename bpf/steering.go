package bpf

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// Limits on interfaces, shared with steer.c.
const (
	// MaxInterfaces is how many interfaces may have sockets registered.
	MaxInterfaces = 64
	// MaxQueues is how many receive queues of one interface may have sockets.
	MaxQueues = 256
)

// layout is the version of what the maps hold. Maps of another layout are left
// to the program that is attached with them until Attach replaces it.
const layout = 5

// Options say how to open a Steering. The zero Options are an ephemeral one
// that drops what has no socket and displaces nobody.
type Options struct {
	// Pins is where what outlives the process is. It stays the caller's, who closes it
	// after the Steering. Nil: nothing is pinned, and the program goes with the process.
	Pins *Pins
	// Tables are the workers', formatted. Without them no connection is known.
	Tables   *TableMemory
	Fallback Fallback
	// Replace lets Attach remove another XDP program from the interface. A
	// program that a bpf_link of somebody else holds is never removed.
	Replace bool
	// Servers is the highest number that a real server may have.
	Servers uint32
}

// Steering is the loaded program with its maps and attachments.
type Steering struct {
	// Constant.
	replace bool
	inner   innerSpecs
	pins    *Pins // nil if ephemeral

	mu         sync.Mutex // guards all that follows
	objects    steerObjects
	links      map[int]link.Link // by interface index
	slots      slots
	published  *claims             // what Update wrote last; nil before that
	generation uint32              // of published
	mapped     []byte              // what records is a view of
	records    []recordView        // of the servers, by number
	recorded   map[uint32]struct{} // the numbers that have one
	locals     map[int][]MAC       // by interface index
	partial    map[int]bool        // by interface index
	standsIn   bool                // the kernel, where there are no sockets
}

// Open loads the program, with what is pinned or with new maps. Rules, counters and
// attachments stay as they are: a program that is attached goes on over its own tables until
// Attach exchanges it.
func Open(o Options) (_ *Steering, err error) {
	if err := rlimit.RemoveMemlock(); err != nil { // for kernels before 5.11
		return nil, fmt.Errorf("lift the limit on locked memory: %w", err)
	}
	s := &Steering{replace: o.Replace, pins: o.Pins, links: map[int]link.Link{}, locals: map[int][]MAC{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.load(&o); err != nil {
		return nil, err
	}
	if err := s.adopt(); err != nil {
		return nil, err
	}
	return s, s.SetFallback(o.Fallback)
}

// load loads the program with the pinned maps, or with new ones.
func (s *Steering) load(o *Options) error {
	spec, err := loadSteer()
	if err != nil {
		return err
	}
	s.inner = innerSpecs{
		entries:    innerSpec(spec, steerMapPrefixes),
		ports:      innerSpec(spec, steerMapPorts),
		sources:    innerSpec(spec, steerMapSources),
		conditions: innerSpec(spec, steerMapConditions),
	}
	spec.Maps[steerMapExpressServers].MaxEntries = o.Servers + 1
	spec.Maps[steerMapExpressTraffic].MaxEntries = o.Servers + 1
	var options ebpf.CollectionOptions
	if o.Tables == nil {
		setConstants(spec, nil)
	} else if err := o.Tables.into(spec, &options); err != nil {
		return err
	}
	if s.pins != nil {
		for _, name := range mapPins {
			spec.Maps[name].Pinning = ebpf.PinByName
		}
		options.Maps.PinPath = s.pins.path
		if err := s.pins.removeOtherLayout(); err != nil {
			return err
		}
	}
	err = spec.LoadAndAssign(&s.objects, &options)
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		// Not this version's. Whatever is attached keeps its maps without the pins.
		if err := s.pins.removeMaps(); err != nil {
			return err
		}
		err = spec.LoadAndAssign(&s.objects, &options)
	}
	if err != nil {
		return loadError(err)
	}
	if err := s.mapRecords(); err != nil {
		return err
	}
	if err := s.objects.Settings.Put(uint32(steerSettingLAYOUT), uint32(layout)); err != nil {
		return fmt.Errorf("map settings: %w", err)
	}
	return nil
}

func loadError(err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("load the steering program: this kernel is too old, xlvs needs Linux 5.17 or newer: %w", err)
	case errors.As(err, &verifier):
		return fmt.Errorf("load the steering program: the kernel's verifier refused it, please report: %w", err)
	}
	return fmt.Errorf("load the steering program (root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON): %w", err)
}

// adopt reads back what a previous director left.
func (s *Steering) adopt() error {
	var err error
	if s.generation, err = s.activeGeneration(); err != nil {
		return err
	}
	if s.slots, err = readSlots(s.objects.Interfaces); err != nil {
		return err
	}
	if s.pins != nil {
		return s.removeStaleLinks()
	}
	return nil
}

// Update replaces all rules and services. A frame is decided by all of the old
// ones or by all of the new ones. On an error the old ones stay in force.
func (s *Steering) Update(rules []Rule, services []Service) error {
	c, err := compile(rules, services)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.equal(s.published) {
		return nil
	}
	if err := s.publish(c); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	return nil
}

// Check reports what Update would refuse, without changing anything.
func Check(rules []Rule, services []Service) error {
	_, err := compile(rules, services)
	return err
}

// SetFallback changes what becomes of claimed frames that have no socket.
func (s *Steering) SetFallback(f Fallback) error {
	const xdpDrop, xdpPass = uint32(1), uint32(2) // enum xdp_action
	action := xdpDrop
	if f == FallbackPass {
		action = xdpPass
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.standsIn = f == FallbackPass
	err := s.objects.Fallback.Set(action)
	if err == nil {
		err = s.objects.Own.Set(s.ownOf(s.locals))
	}
	if err != nil {
		return fmt.Errorf("set fallback %s: %w", f, err)
	}
	return nil
}

// SetNoConnectionLimit bounds how many TCP segments of no connection, of those that open
// none, every CPU lets through to the workers in a second; the others are dropped, and
// counted as NoConnection. 0, which is how it begins, lets all of them through.
func (s *Steering) SetNoConnectionLimit(n uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.objects.NoConnectionLimit.Set(n); err != nil {
		return fmt.Errorf("set limit %d of segments without connection: %w", n, err)
	}
	return nil
}

// Counters returns the counters. They go on over a takeover.
func (s *Steering) Counters() (Counters, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum Counters
	var cpus []uint64
	for i := range sum {
		if err := s.objects.Counters.Lookup(uint32(i), &cpus); err != nil {
			return sum, fmt.Errorf("counter %s: %w", Reason(i), err)
		}
		for _, n := range cpus {
			sum[i] += n
		}
	}
	sum[ClaimedFlow] += sum[Express] // which the program counts once, to be quick
	return sum, nil
}

// Close lets go of everything and removes nothing: what is pinned stays
// attached for the next director. An ephemeral Steering is gone. Closing twice
// does no harm.
func (s *Steering) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeLocked()
}

// closeLocked needs mu.
func (s *Steering) closeLocked() error {
	var errs []error
	for _, l := range s.links {
		errs = append(errs, l.Close())
	}
	clear(s.links)
	errs = append(errs, s.unmapRecords(), s.objects.Close())
	return errors.Join(errs...)
}

// Remove detaches the program from all its interfaces, removes what is pinned
// of it, and closes. The tables of OpenTables stay.
func (s *Steering) Remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for index := range s.links {
		errs = append(errs, s.detachLocked(index))
	}
	if s.pins != nil {
		_, err := s.pins.removeLinks() // of interfaces that were never attached by this process
		errs = append(errs, err, s.pins.removeMaps())
	}
	errs = append(errs, s.closeLocked())
	return errors.Join(errs...)
}
