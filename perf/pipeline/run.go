package pipeline

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/perf/measure"
	"github.com/xlvs/xlvs/perf/result"
)

// turn is how many packets a prefix takes before the next one's turn: enough for
// reading the clock not to count, few enough for a change of the machine's to hit all.
const turn = 1024

// Run measures. It takes about o.Rounds times o.Duration, and as long as it takes to
// make the flows. progress, if not nil, is called after each round with the number
// of rounds done. It runs on a locked thread.
func Run(ctx context.Context, o Options, progress func(rounds int)) (*result.PipelineCase, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h, err := newHarness(o)
	if err != nil {
		return nil, err
	}
	defer h.close()
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	for done := range o.Rounds {
		if err := h.round(ctx); err != nil {
			return nil, err
		}
		if progress != nil {
			progress(done + 1)
		}
	}
	return h.result(), nil
}

// harness measures one case.
type harness struct {
	options  Options
	memory   []byte // of the frames
	arrivals *arrivals
	walk     walk

	costs   [prefixCount]result.Rounds // nanoseconds a packet
	packets uint64                     // that went the whole way
	mallocs uint64
	bytes   uint64
	cycles  uint32
}

func newHarness(o Options) (*harness, error) {
	memory, err := measure.Memory(frameCount * frameDistance)
	if err != nil {
		return nil, err
	}
	d, err := newDirector(o.Flows+int(freshRoom(o.Flows)), o.IPv6)
	if err != nil {
		measure.Unmap(memory)
		return nil, err
	}
	return &harness{options: o, memory: memory, arrivals: newArrivals(memory, o), walk: newWalk(d)}, nil
}

func (h *harness) close() {
	h.walk.director.close()
	measure.Unmap(h.memory)
}

// open makes the known connections: a SYN and an ACK each.
func (h *harness) open(ctx context.Context) error {
	a := h.arrivals
	for _, flags := range []uint8{packet.SYN, packet.ACK} {
		for at := 0; at < len(a.known); at += h.options.Batch {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			frames := a.batch(min(h.options.Batch, len(a.known)-at))
			for i := range frames {
				setFlow(frames[i].Bytes(), a.v6, a.known[at+i], flags)
			}
			h.walk.forward(frames)
		}
	}
	if h.walk.refused > 0 {
		return fmt.Errorf("%d of the packets that open %d flows were not forwarded", h.walk.refused, h.options.Flows)
	}
	return nil
}

// round lets the prefixes take turns for the round's time.
func (h *harness) round(ctx context.Context) error {
	var used [prefixCount]time.Duration
	var packets [prefixCount]int
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for end := measure.ThreadTime() + h.options.Duration; ; {
		for p := range prefixCount {
			d, n := h.turn(p)
			used[p] += d
			packets[p] += n
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if measure.ThreadTime() >= end {
			break
		}
	}
	runtime.ReadMemStats(&after)
	if h.walk.refused > 0 {
		return fmt.Errorf("%d packets were not forwarded", h.walk.refused)
	}
	for p := range prefixCount {
		h.costs[p] = append(h.costs[p], float64(used[p].Nanoseconds())/float64(packets[p]))
	}
	h.packets += uint64(packets[whole])
	h.mallocs += after.Mallocs - before.Mallocs
	h.bytes += after.TotalAlloc - before.TotalAlloc
	h.cycles += after.NumGC - before.NumGC
	return nil
}

// turn runs one prefix and returns what it took, for how many packets.
func (h *harness) turn(p prefix) (used time.Duration, packets int) {
	a := h.arrivals
	if h.options.Mix > 0 && a.opened+turn+uint32(h.options.Batch) > a.room {
		h.walk.director.forget()
		a.opened = 0
	}
	a.looking = p != whole
	start := measure.ThreadTime()
	for packets < turn {
		frames := a.next(h.options.Batch)
		h.walk.run(p, frames)
		packets += len(frames)
	}
	return measure.ThreadTime() - start, packets
}

// result is what the rounds say.
func (h *harness) result() *result.PipelineCase {
	o := h.options
	c := &result.PipelineCase{
		Flows: o.Flows, Family: "ipv4", Method: "direct", Size: o.Size.String(), Mix: o.Mix, Batch: o.Batch,
		AllocsPerPacket: thousandths(h.mallocs, h.packets), BytesPerPacket: thousandths(h.bytes, h.packets),
		GCCycles: h.cycles, Stages: map[string]float64{},
	}
	if o.IPv6 {
		c.Family = "ipv6"
	}
	for p, last := parse, arrive; p < prefixCount; p++ {
		if p == prepare && o.Mix == 0 {
			continue // nothing is new
		}
		c.StageOrder = append(c.StageOrder, stageNames[p])
		c.Stages[stageNames[p]] = difference(h.costs[p], h.costs[last]).Median()
		last = p
	}
	c.Rounds = difference(h.costs[whole], h.costs[arrive])
	c.NsPerPacket = c.Rounds.Median()
	c.PacketsPerSecond = 1e9 / c.NsPerPacket
	c.HarnessNs = h.costs[arrive].Median()
	c.Spread, c.Noisy = c.Rounds.Spread(), c.Rounds.Noisy()
	return c
}

// difference subtracts round by round.
func difference(of, less result.Rounds) result.Rounds {
	d := make(result.Rounds, len(of))
	for i := range d {
		d[i] = of[i] - less[i]
	}
	return d
}

// thousandths is a share to three places: the runtime itself allocates now and then.
func thousandths(n, of uint64) float64 { return math.Round(float64(n)/float64(of)*1000) / 1000 }
