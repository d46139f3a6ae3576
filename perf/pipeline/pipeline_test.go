package pipeline

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/perf/result"
)

// quick is a run of milliseconds.
func quick(o Options) Options {
	o.Rounds, o.Duration = 2, time.Millisecond
	return o
}

func TestEveryKindOfPacketIsMeasured(t *testing.T) {
	size, err := ParseSize("imix")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"defaults":               {},
		"one flow":               {Flows: 1},
		"all new":                {Mix: 1},
		"a third new, IPv6":      {Mix: 1. / 3, IPv6: true, Flows: 5000},
		"mixed sizes":            {Size: size, Batch: 256},
		"a frame at a time, new": {Batch: 1, Mix: 1, IPv6: true},
	} {
		t.Run(name, func(t *testing.T) {
			rounds := 0
			c, err := Run(t.Context(), quick(o), func(n int) { rounds = n })
			if err != nil {
				t.Fatal(err)
			}
			if rounds != 2 || len(c.Rounds) != 2 {
				t.Errorf("2 rounds were asked for, %d were announced, %d are there", rounds, len(c.Rounds))
			}
			checkCase(t, c, o.Mix > 0)
		})
	}
}

func checkCase(t *testing.T, c *result.PipelineCase, fresh bool) {
	t.Helper()
	if c.NsPerPacket <= 0 || math.Abs(c.PacketsPerSecond*c.NsPerPacket-1e9) > 1 {
		t.Errorf("%v ns a packet, %v packets a second", c.NsPerPacket, c.PacketsPerSecond)
	}
	if c.GCCycles != 0 {
		t.Errorf("packets caused %d collections of garbage", c.GCCycles)
	}
	if _, ok := c.Stages["prepare"]; ok != fresh {
		t.Errorf("new connections: %v, stages: %v", fresh, c.Stages)
	}
	if len(c.StageOrder) != len(c.Stages) {
		t.Errorf("%d stages in order, %d measured", len(c.StageOrder), len(c.Stages))
	}
	for _, name := range c.StageOrder {
		if _, ok := c.Stages[name]; !ok {
			t.Errorf("stage %s was not measured", name)
		}
	}
}

func TestPacketsDoNotAllocate(t *testing.T) {
	h := opened(t, Options{Mix: 0.5})
	for p := range prefixCount {
		if n := testing.AllocsPerRun(5, func() { h.turn(p) }); n != 0 {
			t.Errorf("%s: %v allocations in %d packets", stageNames[p], n, turn)
		}
	}
}

// TestEveryPacketIsOfItsKind looks into the tables after packets went through.
func TestEveryPacketIsOfItsKind(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		h := opened(t, Options{Mix: 0.25, IPv6: v6, Flows: 4096})
		for p := range prefixCount {
			h.turn(p)
		}
		want := uint64(4096 + turn/4)
		s := h.walk.director.tables.Stats()
		if conns := s.Connections4.Live + s.Connections6.Live; conns != want {
			t.Errorf("IPv6 %v: %d connections, want %d", v6, conns, want)
		}
		if templates := s.Templates4.Live + s.Templates6.Live; templates != want {
			t.Errorf("IPv6 %v: %d templates, want %d", v6, templates, want)
		}
		h.walk.director.forget()
		s = h.walk.director.tables.Stats()
		if conns := s.Connections4.Live + s.Connections6.Live; conns != 4096 {
			t.Errorf("IPv6 %v: %d connections were not forgotten, want the known 4096", v6, conns)
		}
	}
}

func TestFramesAreWellFormed(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, text := range []string{"64", "100", "1514", "imix"} {
			size, err := ParseSize(text)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range newFrames(make([]byte, frameCount*frameDistance), v6, size) {
				frame := f.Bytes()
				setFlow(frame, v6, uint32(i), packet.ACK)
				var p packet.Parsed
				if m := packet.Parse(frame, &p); m != packet.OK || p.Kind != packet.KindFlow {
					t.Fatalf("size %s, IPv6 %v, frame %d: %v, kind %v", text, v6, i, m, p.Kind)
				}
				if p.Tuple.DstPort != port || p.Tuple.SrcPort != uint16(1024+i) || p.Tuple.Src.Is4() == v6 {
					t.Fatalf("size %s, IPv6 %v, frame %d: %+v", text, v6, i, p.Tuple)
				}
				if want := max(size.nth(i), 64); !v6 && len(frame) != want {
					t.Fatalf("size %s, frame %d: %d bytes, want %d", text, i, len(frame), want)
				}
			}
		}
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"flows":    {Flows: -1},
		"mix":      {Mix: 1.5},
		"no share": {Mix: math.NaN()},
		"batch":    {Batch: 257},
		"rounds":   {Rounds: -1},
		"duration": {Duration: -1},
	} {
		if _, err := Run(t.Context(), o, nil); err == nil {
			t.Errorf("%s: %+v was taken", name, o)
		}
	}
	for _, text := range []string{"", "63", "1515", "IMIX", "64b"} {
		if _, err := ParseSize(text); err == nil {
			t.Errorf("size %q was taken", text)
		}
	}
}

func TestRunEndsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := quick(Options{})
	o.Rounds = 1 << 30
	_, err := Run(ctx, o, func(n int) {
		if n == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// opened is a harness whose known connections are there.
func opened(t *testing.T, o Options) *harness {
	t.Helper()
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHarness(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	if err := h.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}
