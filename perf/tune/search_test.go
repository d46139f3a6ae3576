package tune

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/control"
)

// model is a director that is a formula. Its scores are noisy, and drift as those
// of a machine with other work do.
type model struct {
	score     func(*plan) float64
	noise     float64
	stops     float64 // share of the measurements during which the machine stops
	random    *rand.Rand
	drift     float64
	now       *plan
	refuses   string // an argument
	loss      func(*plan) float64
	failAfter int // measurements; 0 is never
	cancel    func()
	measured  map[string]int
}

func newModel(seed uint64, noise float64, score func(*plan) float64) *model {
	return &model{score: score, noise: noise, random: rand.New(rand.NewPCG(seed, 7)), measured: map[string]int{}}
}

func (m *model) Apply(_ context.Context, arguments []string) error {
	if m.refuses != "" && slices.Contains(arguments, m.refuses) {
		return Refused{errors.New("not on this kernel")}
	}
	s, err := parsePlan(arguments)
	m.now = s
	m.measured[strings.Join(arguments, " ")]++
	return err
}

func (m *model) Measure(context.Context) (Sample, error) {
	if m.failAfter > 0 {
		if m.failAfter--; m.failAfter == 0 {
			if m.cancel == nil {
				return Sample{}, errors.New("the wire broke")
			}
			m.cancel()
		}
	}
	m.drift = 0.9*m.drift + 0.7*m.noise*m.random.NormFloat64()
	stop := 1.0
	if m.random.Float64() < m.stops {
		stop = 0.2 + 0.5*m.random.Float64()
	}
	s := Sample{Score: stop * 1e6 * m.score(m.now) * math.Exp(m.drift+m.noise*m.random.NormFloat64())}
	if m.loss != nil {
		s.Loss = m.loss(m.now)
	}
	return s, nil
}

// hill is best at batch 128, a budget of 2048 with it, no spinning, and the second
// kind of busy polling; batch and budget depend on each other.
func hill(s *plan) float64 {
	score := 1 - 0.05*math.Abs(math.Log2(float64(value(s.Batch))/128))
	score += 0.03*math.Log2(float64(value(s.TransmitBudget))/512) - 0.02*max(0, math.Log2(float64(value(s.Batch))/64))*max(0, math.Log2(512/float64(value(s.TransmitBudget))))
	if !value(s.Spin) {
		score += 0.04
	}
	if value(s.BusyPoll.Enabled) {
		score += 0.08 - 0.002*math.Abs(float64(value(s.BusyPoll.Microseconds))-50) - 0.0001*math.Abs(float64(value(s.BusyPoll.Budget))-64)
	}
	return score
}

// flowing is the parameters that change while frames flow, whatever the machine.
func flowing() []Parameter {
	space, err := Only(Space(), []string{"batch", "transmit_budget", "spin", "busy_poll"})
	if err != nil {
		panic(err)
	}
	return space
}

var defaultStart = Choice{2, 2, 0, 0} // batch 64, budget 512, adaptive, busy polling off

func trueScore(t *testing.T, score func(*plan) float64, arguments []string) float64 {
	t.Helper()
	s, err := parsePlan(arguments)
	if err != nil {
		t.Fatal(err)
	}
	return score(s)
}

// best is the best of all choices, by trying them.
func best(t *testing.T, score func(*plan) float64) (top float64) {
	space := flowing()
	var visit func(Choice)
	visit = func(c Choice) {
		if len(c) == len(space) {
			top = max(top, trueScore(t, score, c.Arguments(space)))
			return
		}
		for v := range space[len(c)].Values {
			visit(append(slices.Clone(c), v))
		}
	}
	visit(Choice{})
	return top
}

// The optimum is found despite noise that is as large as what separates the values.
func TestSearchFindsTheOptimum(t *testing.T) {
	top := best(t, hill)
	measurements, exact := 0, 0
	for seed := range uint64(20) {
		m := newModel(seed, 0.03, hill)
		o, err := Search(t.Context(), m, flowing(), defaultStart, Options{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		measurements += o.Measurements
		start, won := trueScore(t, hill, o.Start), trueScore(t, hill, o.Winner)
		if won > 0.99*top {
			exact++
		}
		if !o.Confirmed || won < 0.95*top {
			t.Errorf("seed %d: %v scores %.3f, the best %.3f (confirmed: %v, %v)", seed, o.Winner, won, top, o.Confirmed, o.Gain)
			continue
		}
		if truth := won/start - 1; truth < o.Gain.Low-0.02 || truth > o.Gain.High+0.02 {
			t.Errorf("seed %d: gains %.3f, said %v", seed, truth, o.Gain)
		}
	}
	if exact < 16 {
		t.Errorf("%d of 20 searches found the optimum", exact)
	}
	t.Logf("%d of 20 found the optimum, in %d measurements each", exact, measurements/20)
}

// Where nothing makes a difference, nothing is found.
func TestSearchFindsNothingInNoise(t *testing.T) {
	found := 0
	for seed := range uint64(40) {
		o, err := Search(t.Context(), newModel(seed, 0.1, func(*plan) float64 { return 1 }), flowing(), defaultStart, Options{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		if o.Confirmed {
			found++
		} else if !slices.Equal(o.Start, o.Winner) {
			t.Errorf("seed %d: %v won without being confirmed", seed, o.Winner)
		}
	}
	if found > 1 {
		t.Errorf("%d of 40 searches found something in noise", found)
	}
}

// A machine that is stopped now and then spoils measurements, not the outcome.
func TestSearchDespiteStops(t *testing.T) {
	top := best(t, hill)
	exact := 0
	for seed := range uint64(20) {
		m := newModel(seed, 0.02, hill)
		m.stops = 0.08
		o, err := Search(t.Context(), m, flowing(), defaultStart, Options{Seed: seed, Rounds: 20, Confirm: 15})
		if err != nil {
			t.Fatal(err)
		}
		if trueScore(t, hill, o.Winner) > 0.97*top {
			exact++
		}
	}
	t.Logf("%d of 20 came close to the optimum", exact)
	if exact < 16 {
		t.Errorf("%d of 20 searches came close to the optimum", exact)
	}
}

// A race ends early where the answer is plain: noise decides how long it takes.
func TestSearchStopsEarly(t *testing.T) {
	quiet, err := Search(t.Context(), newModel(1, 0.001, hill), flowing(), defaultStart, Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	noisy, err := Search(t.Context(), newModel(1, 0.1, hill), flowing(), defaultStart, Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if quiet.Measurements*3 > noisy.Measurements*2 {
		t.Errorf("%d measurements without noise, %d with", quiet.Measurements, noisy.Measurements)
	}
}

// Measurements interleave: in each round everybody still in is measured once.
func TestSearchInterleaves(t *testing.T) {
	m := newModel(3, 0.02, hill)
	space, err := Only(flowing(), []string{"batch"})
	if err != nil {
		t.Fatal(err)
	}
	full := func(s *plan) float64 {
		return hill(&plan{Settings: control.Settings{Batch: s.Batch, TransmitBudget: ptr(512), BusyPoll: &control.BusyPollSettings{}}})
	}
	m.score = full
	o, err := Search(t.Context(), m, space, Choice{0}, Options{Seed: 3, Passes: 1})
	if err != nil {
		t.Fatal(err)
	}
	rounds := len(o.Races[0].Candidates[0].Samples)
	for _, c := range o.Races[0].Candidates {
		if n := len(c.Samples); n < fewestRounds || n > rounds {
			t.Errorf("%s: measured in %d of %d rounds", c.Label, n, rounds)
		}
	}
	if got := strings.Join(o.Winner, " "); got != "batch=128" {
		t.Errorf("batch: %s won", got)
	}
}

// A value that cannot be had is left out, one that loses frames is out at once,
// however fast.
func TestSearchWithinBounds(t *testing.T) {
	m := newModel(5, 0.01, hill)
	m.refuses = "transmit_budget=2048"
	m.loss = func(s *plan) float64 {
		if value(s.Batch) == 128 {
			return 0.05
		}
		return 0
	}
	o, err := Search(t.Context(), m, flowing(), defaultStart, Options{Seed: 5, MaxLoss: 0.001})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(o.Winner, "transmit_budget=2048") || slices.Contains(o.Winner, "batch=128") {
		t.Errorf("%v won", o.Winner)
	}
	for _, r := range o.Races {
		for _, c := range r.Candidates {
			if c.Label == "batch=128" && len(c.Samples) > 1 {
				t.Errorf("a value that loses frames was measured %d times", len(c.Samples))
			}
			if c.Label == "transmit_budget=2048" && c.Refused == "" {
				t.Error("nothing is said of the value that cannot be had")
			}
		}
	}
	if _, err := json.Marshal(o); err != nil {
		t.Error(err)
	}
}

// A search that ends early returns what it has and says why.
func TestSearchEndsEarly(t *testing.T) {
	m := newModel(1, 0.01, hill)
	m.failAfter = 30
	o, err := Search(t.Context(), m, flowing(), defaultStart, Options{})
	if err == nil || !strings.Contains(err.Error(), "the wire broke") || o == nil || o.Measurements != 29 {
		t.Errorf("after a failure: %v, %+v", err, o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m = newModel(1, 0.01, hill)
	m.failAfter, m.cancel = 30, cancel
	o, err = Search(ctx, m, flowing(), defaultStart, Options{})
	if !errors.Is(err, context.Canceled) || o.Measurements != 29 || o.Confirmed || o.Races[len(o.Races)-1].Because != unfinished {
		t.Errorf("after a cancellation: %v, %d measurements", err, o.Measurements)
	}
	dead := newModel(1, 0, func(*plan) float64 { return 0 })
	if _, err := Search(t.Context(), dead, flowing(), defaultStart, Options{}); err == nil || !strings.Contains(err.Error(), "nothing came through") {
		t.Errorf("nothing came through: %v", err)
	}
	for name, try := range map[string]func() error{
		"rounds": func() error {
			_, err := Search(t.Context(), m, flowing(), defaultStart, Options{Rounds: 2})
			return err
		},
		"no space": func() error { _, err := Search(t.Context(), m, nil, nil, Options{}); return err },
		"start":    func() error { _, err := Search(t.Context(), m, flowing(), Choice{9, 0, 0, 0}, Options{}); return err },
	} {
		if try() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCompare(t *testing.T) {
	a, b := []float64{11, 22, 33, 44}, []float64{10, 20, 30, 40}
	c := compare(a, b) // what differs from round to round drops out
	if math.Abs(gain(c.mean)-0.1) > 1e-9 || c.half > 1e-6 {
		t.Errorf("%+v", c)
	}
	if c := compare(a[:1], b); c.gain() != nil || c.low() > 0 {
		t.Errorf("one round tells: %+v", c)
	}
	if c := compare(nil, b); c.gain() != nil {
		t.Errorf("no round tells: %+v", c)
	}
	// The interval holds the truth as often as it says.
	random := rand.New(rand.NewPCG(1, 1))
	outside := 0
	for range 2000 {
		var x, y []float64
		for range 8 {
			round := math.Exp(random.NormFloat64())
			x = append(x, round*1.05*math.Exp(0.1*random.NormFloat64()))
			y = append(y, round*math.Exp(0.1*random.NormFloat64()))
		}
		if g := compare(x, y).gain(); g.Low > 0.05 || g.High < 0.05 {
			outside++
		}
	}
	if share := float64(outside) / 2000; share < 0.01 || share > 0.03 {
		t.Errorf("%.3f of the intervals miss the truth, want 0.02", share)
	}
}

// The file that is written can be read, has the winner, and says how it was found.
func TestEvidence(t *testing.T) {
	o, err := Search(t.Context(), newModel(2, 0.02, hill), flowing(), defaultStart, Options{Seed: 2})
	if err != nil || !o.Confirmed {
		t.Fatalf("%v, %+v", err, o)
	}
	e := &Evidence{When: time.Unix(1_800_000_000, 0), Where: "2 CPUs", Load: "a formula", Outcome: o}
	base, err := config.Parse("base", []byte("interfaces: [{name: eth7}]\nlog: {level: warn}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, base := range map[string]*config.Config{"whole": base, "part": nil} {
		data, err := e.Configuration(base)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, want := range []string{"# Found by xlvs tune search, 2027-01-15", "a formula", "confidence of 98 %", "batch=256"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing:\n%s", name, want, text)
			}
		}
		if base == nil {
			text += "interfaces: [{name: eth7}]\nlog: {level: warn}\n"
		}
		c, err := config.Parse("written", []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		winner, _ := Parse(o.Winner)
		if c.Rings.Batch != *winner.Batch || c.Workers.Spin != *winner.Spin || c.Rings.BusyPoll.Enabled != *winner.BusyPoll.Enabled ||
			c.Interfaces[0].Name != "eth7" || c.Log.Level != "warn" {
			t.Errorf("%s: not what won:\n%s", name, text)
		}
	}
	path := t.TempDir() + "/file"
	for i, want := range []bool{true, false} {
		if err := WriteFile(path, []byte("x"), false); (err == nil) != want {
			t.Errorf("attempt %d without force: %v", i, err)
		}
	}
	if err := WriteFile(path, []byte("y"), true); err != nil {
		t.Error(err)
	}
}

func TestCounts(t *testing.T) {
	at := time.Unix(0, 0)
	a := counts{forwarded: 1000, received: 1000, busy: time.Second, at: at}
	b := counts{forwarded: 101_000, received: 101_000, lost: 1000, busy: 2 * time.Second, at: at.Add(time.Second)}
	s, err := b.since(a)
	if err != nil || s.Score != 100_000 || math.Abs(s.Loss-1.0/101) > 1e-9 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := a.since(b); err == nil {
		t.Error("counts that fell")
	}
	if _, err := a.since(a); err == nil {
		t.Error("no traffic")
	}
}
