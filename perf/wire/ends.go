package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/testnet"
	"github.com/xlvs/xlvs/perf/measure"
)

// ends are the two ends of the wire: generators and a sink on one interface.
type ends struct {
	site    *site
	cpus    []int // of the generators, one each
	traffic Traffic

	programs wireObjects
	undo     []func() error
	blank    []byte // as large as the map of numbers
	next     uint32 // number of the next trial's first frame
}

// newEnds attaches the sink to the site's interface, which gives it a receive
// queue that knows XDP. Generator i runs on cpus[i].
func newEnds(s *site, traffic Traffic, cpus []int, flags link.XDPAttachFlags) (e *ends, err error) {
	if err := traffic.Validate(); err != nil {
		return nil, err
	}
	e = &ends{site: s, cpus: cpus, traffic: traffic}
	if err := loadWireObjects(&e.programs, nil); err != nil {
		return nil, fmt.Errorf("load generator and sink: %w", err)
	}
	e.undo = append(e.undo, e.programs.Close)
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if err := e.expect(false); err != nil {
		return nil, err
	}
	sink, err := s.attach(e.programs.Sink, flags)
	if err != nil {
		return nil, err
	}
	e.undo = append(e.undo, sink.Close)
	if err := e.park(); err != nil {
		return nil, err
	}
	e.blank = make([]byte, e.programs.Seen.MaxEntries()*e.programs.Seen.ValueSize())
	return e, nil
}

// park attaches the generator where no frame ever passes. The kernel has a list of
// the XDP programs that are in use; when one joins or leaves, it waits until all
// CPUs have seen it, some twenty milliseconds. A program that is attached is on the
// list already when it is run, so that no pause falls between two runs.
func (e *ends) park() error {
	ns, err := testnet.New()
	if err != nil {
		return err
	}
	e.undo = append(e.undo, ns.Close)
	lo, err := namespaceSite(ns, "lo", 1)
	if err != nil {
		return err
	}
	parked, err := lo.attach(e.programs.Generate, link.XDPGenericMode)
	if err != nil {
		return err
	}
	e.undo = append(e.undo, parked.Close)
	return nil
}

func (e *ends) close() error {
	var errs []error
	for i := range e.undo {
		errs = append(errs, e.undo[len(e.undo)-1-i]())
	}
	return errors.Join(errs...)
}

func (e *ends) expect(stamp bool) error {
	want := expected(stamp, e.next)
	if err := e.programs.Expectation.Put(uint32(0), &want); err != nil {
		return fmt.Errorf("set up sink: %w", err)
	}
	return nil
}

// load is what is offered in one trial.
type load struct {
	rate     float64 // frames a second, 0 as fast as it goes
	duration time.Duration
	fresh    float64 // share of frames that open a flow
	stamp    bool    // measure delays
}

// outcome is what came of it.
type outcome struct {
	sent, opened          uint64
	received, duplicates  uint64
	unnumbered            uint64        // received, but not checked for being duplicates
	stale                 uint64        // not counted as received: of an earlier trial
	elapsed               time.Duration // that the generators were at work
	bestSecond, allOfThem float64       // frames a second at the sink
	delays                *hdrhistogram.Histogram
	waited                time.Duration // that a generator wanted its CPU and others had it
}

// offered is the frames a second that the generators sent.
func (o *outcome) offered() float64 { return float64(o.sent) / o.elapsed.Seconds() }

// loss is the share of frames that did not arrive.
func (o *outcome) loss() float64 {
	if o.sent == 0 || o.received >= o.sent {
		return 0
	}
	return float64(o.sent-o.received) / float64(o.sent)
}

// trial offers a load and waits until what is under way has arrived.
func (e *ends) trial(ctx context.Context, l load) (*outcome, error) {
	if err := e.prepare(l); err != nil {
		return nil, err
	}
	before, err := e.tally()
	if err != nil {
		return nil, err
	}
	earlier, err := e.counts(l.stamp)
	if err != nil {
		return nil, err
	}
	o := &outcome{}
	if err := e.generate(ctx, l.duration, o); err != nil {
		return nil, err
	}
	if err := e.readStreams(o); err != nil {
		return nil, err
	}
	after, err := e.settle(ctx, before.Frames+o.sent)
	if err != nil {
		return nil, err
	}
	o.received = after.Frames - before.Frames
	o.duplicates = after.Duplicates - before.Duplicates
	o.unnumbered = after.Unnumbered - before.Unnumbered
	o.stale = after.Stale - before.Stale
	if l.stamp {
		later, err := e.counts(true)
		if err != nil {
			return nil, err
		}
		for i := range later {
			later[i] -= earlier[i]
		}
		o.delays = histogramOf(later)
	}
	return o, nil
}

// prepare forgets the numbers of the last trial and sets up the streams.
func (e *ends) prepare(l load) error {
	if err := e.expect(l.stamp); err != nil {
		return err
	}
	seen, err := e.programs.Seen.Memory()
	if err != nil {
		return fmt.Errorf("numbers seen: %w", err)
	}
	if _, err := seen.WriteAt(e.blank, 0); err != nil {
		return fmt.Errorf("numbers seen: %w", err)
	}
	traffic := e.traffic
	traffic.Fresh = l.fresh
	for i := range e.cpus {
		s := traffic.stream(i, len(e.cpus), l.rate, l.stamp)
		s.First += e.next
		if l.fresh > 0 {
			s.Opened = e.opened(i) // a flow that an earlier trial opened is not new
		}
		if err := e.programs.Streams.Put(uint32(i), &s); err != nil {
			return fmt.Errorf("set up generator: %w", err)
		}
	}
	return nil
}

func (e *ends) opened(i int) uint64 {
	var s wireStream
	if err := e.programs.Streams.Lookup(uint32(i), &s); err != nil {
		return 0
	}
	return s.Opened
}

func (e *ends) readStreams(o *outcome) error {
	last := uint64(0)
	for i := range e.cpus {
		var s wireStream
		if err := e.programs.Streams.Lookup(uint32(i), &s); err != nil {
			return fmt.Errorf("read generator: %w", err)
		}
		o.sent += s.Sent
		o.opened += s.Opened
		last = max(last, s.Sent)
	}
	e.next += uint32(last) * uint32(len(e.cpus))
	return nil
}

// sampleEvery is how often the sink is read, to find the best second.
const sampleEvery = 100 * time.Millisecond

// generate runs the generators and watches the sink meanwhile.
func (e *ends) generate(ctx context.Context, duration time.Duration, o *outcome) error {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	started := time.Now()
	var group errgroup.Group
	waits := make([]time.Duration, len(e.cpus))
	for i, cpu := range e.cpus {
		group.Go(func() (err error) {
			waits[i], err = e.generator(ctx, i, cpu)
			return err
		})
	}
	var samples []sample
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for running := true; ; {
		t, err := e.tally()
		if err != nil {
			cancel()
			return errors.Join(err, group.Wait())
		}
		samples = append(samples, sample{time.Now(), t.Frames})
		if !running {
			break // that was the one at the end
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			running = false
		}
	}
	err := group.Wait()
	o.elapsed = time.Since(started)
	o.waited = slices.Max(waits)
	if err == nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		err = context.Cause(ctx)
	}
	o.bestSecond, o.allOfThem = rates(samples)
	return err
}

// sample is how many frames there had been at a time.
type sample struct {
	at     time.Time
	frames uint64
}

// rates is the frames a second in the best second of the samples, or in all of
// them if they are not of a second, and the average of them all.
func rates(samples []sample) (best, average float64) {
	if len(samples) < 2 {
		return 0, 0
	}
	rate := func(from, to sample) float64 {
		return float64(to.frames-from.frames) / to.at.Sub(from.at).Seconds()
	}
	average = rate(samples[0], samples[len(samples)-1])
	from := 0
	for to := range samples {
		for from+1 < to && samples[to].at.Sub(samples[from+1].at) >= time.Second {
			from++
		}
		if samples[to].at.Sub(samples[from].at) >= time.Second {
			best = max(best, rate(samples[from], samples[to]))
		}
	}
	if best == 0 {
		best = average
	}
	return best, average
}

// turns is how often the generator's program is run in one system call: few
// enough for a call to end soon, enough for the pages that it sets up not to matter.
const turns = 1 << 16

// generator runs the program on a CPU until the context ends. It returns how long it
// had to wait for the CPU.
func (e *ends) generator(ctx context.Context, number, cpu int) (waited time.Duration, err error) {
	err = e.site.do(func() error {
		if err := pin(cpu); err != nil {
			return err
		}
		before := measure.OwnSchedule()
		options := &ebpf.RunOptions{
			Data:   e.traffic.blank(number),
			Repeat: turns,
			Flags:  unix.BPF_F_TEST_XDP_LIVE_FRAMES,
			Context: xdpContext{
				DataEnd: uint32(e.traffic.Size), Ingress: uint32(e.site.index),
			},
		}
		for ctx.Err() == nil {
			if _, err := e.programs.Generate.Run(options); err != nil {
				return fmt.Errorf("run generator on %s queue %d: %w", e.site.device, number, err)
			}
		}
		waited = measure.OwnSchedule().Waited - before.Waited
		return nil
	})
	return waited, err
}

// xdpContext is struct xdp_md of linux/bpf.h.
type xdpContext struct {
	Data, DataEnd, DataMeta uint32
	Ingress, Queue, Egress  uint32
}

// tally reads the sink.
func (e *ends) tally() (sum wireTally, err error) {
	var all []wireTally
	if err := e.programs.Tallies.Lookup(uint32(0), &all); err != nil {
		return sum, fmt.Errorf("read sink: %w", err)
	}
	for _, t := range all {
		sum.Frames += t.Frames
		sum.Bytes += t.Bytes
		sum.Duplicates += t.Duplicates
		sum.Unnumbered += t.Unnumbered
		sum.Stale += t.Stale
	}
	return sum, nil
}

// counts reads the sink's buckets of delays.
func (e *ends) counts(wanted bool) ([]uint64, error) {
	sums := make([]uint64, buckets)
	if !wanted {
		return sums, nil
	}
	all := make([]uint64, ebpf.MustPossibleCPU())
	for i := range sums {
		if err := e.programs.Delays.Lookup(uint32(i), &all); err != nil {
			return nil, fmt.Errorf("read delays: %w", err)
		}
		for _, n := range all {
			sums[i] += n
		}
	}
	return sums, nil
}

// Frames are under way until the sink has seen none for quiet, and, while some are
// missing, for stalled: longer than a balancer waits for its CPU on a busy machine.
// After longest they are late, and lost.
const (
	quiet   = 20 * time.Millisecond
	stalled = 200 * time.Millisecond
	longest = 500 * time.Millisecond
)

// settle waits until all that is under way has arrived: the sink will have counted
// that many frames if none is lost.
func (e *ends) settle(ctx context.Context, all uint64) (wireTally, error) {
	last, err := e.tally()
	since, deadline := time.Now(), time.Now().Add(longest)
	for err == nil && (time.Since(since) < quiet || last.Frames < all && time.Since(since) < stalled) && time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return last, context.Cause(ctx)
		case <-time.After(quiet / 4):
		}
		var now wireTally
		if now, err = e.tally(); now.Frames != last.Frames {
			last, since = now, time.Now()
		}
	}
	return last, err
}
