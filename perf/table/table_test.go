package table

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/xlvs/xlvs/perf/result"
)

const testEntries = 3000

func clients(from, n int) []uint32 {
	c := make([]uint32, n)
	for i := range c {
		c[i] = uint32(from + i)
	}
	return c
}

func TestTablesFindWhatWasPutIn(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			s, err := k.open(testEntries)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			s.insert(clients(0, testEntries))
			s.settle()
			if found := s.lookup(clients(0, testEntries)); found != testEntries {
				t.Errorf("%d of %d entries were found", found, testEntries)
			}
			if found := s.lookup(clients(testEntries, testEntries)); found != 0 {
				t.Errorf("%d entries were found that had not been put in", found)
			}
			if other := serverOf(7)%servers + 1; s.assign(7, other) != serverOf(7) {
				t.Errorf("client 7 was given another server")
			}
			if left := s.expire(); left != 0 {
				t.Errorf("%d entries outlived their time", left)
			}
			if found := s.lookup(clients(0, testEntries)); found != 0 && k.noExpire == "" {
				t.Errorf("%d entries were found that were over", found)
			}
		})
	}
}

func TestNewClientsGetTheServerOffered(t *testing.T) {
	for _, k := range kinds {
		s, err := k.open(16)
		if err != nil {
			t.Fatal(err)
		}
		for server := uint32(1); server <= servers; server++ {
			if got := s.assign(server, server); got != server {
				t.Errorf("%s: client %d has server %d, offered was %d", k.name, server, got, server)
			}
		}
		s.close()
	}
}

func TestExactTablesSplitNobody(t *testing.T) {
	for _, k := range kinds {
		if k.name == "ristretto" {
			continue
		}
		s, err := k.open(testEntries)
		if err != nil {
			t.Fatal(err)
		}
		if split := race(s, 400); split != 0 {
			t.Errorf("%s: %d of 400 clients have two servers", k.name, split)
		}
		s.close()
	}
}

func TestRunMeasuresEverything(t *testing.T) {
	o := Options{Entries: []int{testEntries, 64}, Rounds: 2, Duration: time.Millisecond, Clients: 100, Load: 0.5}
	steps, last := 0, -1
	var found []result.TableCase
	got, err := Run(t.Context(), o, func(_ string, done, total int) {
		if done != last+1 || done >= total {
			t.Errorf("step %d of %d after %d", done, total, last)
		}
		last = done
		steps = total
	}, func(cases []result.TableCase) { found = append(found, cases...) })
	if err != nil {
		t.Fatal(err)
	}
	if last != steps-1 {
		t.Errorf("the last step was %d of %d", last, steps)
	}
	if len(got.Tables) != 2*len(kinds) || len(found) != len(got.Tables) {
		t.Fatalf("%d cases in the end, %d on the way, want %d", len(got.Tables), len(found), 2*len(kinds))
	}
	for i, c := range got.Tables {
		checkCase(t, &c, kinds[i%len(kinds)])
	}
}

func checkCase(t *testing.T, c *result.TableCase, k kind) {
	t.Helper()
	if c.Name != k.name || c.Clients != 100 || c.Load != 0.5 {
		t.Errorf("%s: %+v", k.name, c)
	}
	figures := []float64{c.Lookup, c.LookupMiss, c.LookupAll, c.Insert, c.InsertAll, c.BytesEntry, c.CollectionNs}
	if k.noExpire == "" {
		figures = append(figures, c.Expire)
	}
	for i, f := range figures {
		if !(f > 0) || math.IsInf(f, 0) {
			t.Errorf("%s: figure %d is %v", k.name, i, f)
		}
	}
	if (c.ExpireNote == "") != (k.noExpire == "") {
		t.Errorf("%s: expiry note %q", k.name, c.ExpireNote)
	}
	if k.name == ours && (c.SplitClients != 0 || c.LostEntries != 0 || c.Ratios != nil || c.LookupSingle <= 0) {
		t.Errorf("of the exact table: %+v", c)
	}
	if k.name == ours && c.Present != c.Entries {
		t.Errorf("lookups find %d of %d", c.Present, c.Entries)
	}
	if k.name != ours && c.Ratios["lookup_ns"] <= 0 {
		t.Errorf("%s: ratios %v", k.name, c.Ratios)
	}
}

// forgetful is a table that loses every third entry and agrees with nobody.
type forgetful struct{ syncMapStore }

func (s *forgetful) insert(clients []uint32) {
	for _, n := range clients {
		if n%3 != 0 {
			s.syncMapStore.insert([]uint32{n})
		}
	}
}

func (s *forgetful) assign(_, server uint32) uint32 { return server }

func TestLossAndSplitAreCounted(t *testing.T) {
	k := kind{name: "forgetful", open: func(int) (store, error) { return &forgetful{}, nil }}
	o, err := Options{Entries: []int{300}, Rounds: 1, Duration: time.Millisecond}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s := newSize(&bench{ctx: t.Context(), options: o}, 300)
	s.subjects = []*subject{{kind: k, rounds: map[string]result.Rounds{}}}
	if err := s.measure(); err != nil {
		t.Fatal(err)
	}
	if lost := s.results()[0].LostEntries; lost != 100 {
		t.Errorf("%d entries count as lost, want 100", lost)
	}
	if split := race(&forgetful{}, 50); split != 50 {
		t.Errorf("%d clients count as split, want 50", split)
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"entries":  {Entries: []int{0}},
		"load":     {Load: 1.1},
		"no load":  {Load: math.NaN()},
		"rounds":   {Rounds: -1},
		"duration": {Duration: -1},
		"clients":  {Clients: -1},
		"cores":    {Cores: 1 << 20},
		"names":    {Names: []string{"map"}},
	} {
		if _, err := Run(t.Context(), o, nil, nil); err == nil {
			t.Errorf("%s: %+v was taken", name, o)
		}
	}
}

func TestRunEndsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, Options{Entries: []int{64}, Rounds: 1 << 20, Clients: 10, Names: []string{"xsync.Map"}},
		func(_ string, done, _ int) {
			if done == 5 {
				cancel()
			}
		}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
