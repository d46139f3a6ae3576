package tune

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Objective is what a search makes better: a director under load.
type Objective interface {
	// Apply makes settings, as [Parse] takes them, those in force. A [Refused] is
	// settings that cannot be had here; the search goes on without them.
	Apply(ctx context.Context, arguments []string) error
	// Measure tells how good they are.
	Measure(ctx context.Context) (Sample, error)
}

// Refused is why settings cannot be had.
type Refused struct{ Err error }

func (r Refused) Error() string { return r.Err.Error() }

// Unwrap gives errors.Is the reason.
func (r Refused) Unwrap() error { return r.Err }

// Sample is one measurement.
type Sample struct {
	Score float64 `json:"score"` // above 0; more is better
	Loss  float64 `json:"loss"`  // share of the frames that were lost
	Text  string  `json:"text"`  // for people
}

// Options say how a search goes about it. Zero values are the defaults.
type Options struct {
	Rounds  int // the most rounds of a race, 4 or more; default 16
	Confirm int // rounds that compare the winner with the start; default 12
	Passes  int // how often all parameters are gone through; default 2
	// Gain is how much better a value must be to be worth a change, as a share; default 0.02.
	Gain float64
	// MaxLoss is the share of frames that a candidate may lose, if the start loses
	// less; one that loses more is out at once. Default: no bound.
	MaxLoss  float64
	Seed     uint64 // of the order of measurements
	Progress func(Progress)
}

// Progress is how far a search is.
type Progress struct {
	Measurements int    // so far
	Most         int    // that there can be, at the pace so far
	Step         string // what is being measured
	Finished     string // a line about what was decided, or empty
}

const fewestRounds = 4

func (o *Options) setDefaults() error {
	for _, d := range []struct {
		v   *int
		def int
	}{{&o.Rounds, 16}, {&o.Confirm, 12}, {&o.Passes, 2}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if o.Gain == 0 {
		o.Gain = 0.02
	}
	if o.Rounds < fewestRounds || o.Confirm < fewestRounds || o.Passes < 1 || o.Gain < 0 {
		return fmt.Errorf("%d rounds, %d to confirm, %d passes: want %d rounds or more, and 1 pass", o.Rounds, o.Confirm, o.Passes, fewestRounds)
	}
	if o.MaxLoss == 0 {
		o.MaxLoss = 1
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return nil
}

// Outcome is what a search found.
type Outcome struct {
	Start  []string `json:"start"` // settings, as Parse takes them
	Winner []string `json:"winner"`
	// Gain is the winner's over the start; nil if there was no winner to confirm.
	Gain *Gain `json:"gain,omitempty"`
	// Confirmed tells that the winner is better for certain. If it is not, Winner is Start.
	Confirmed    bool   `json:"confirmed"`
	Measurements int    `json:"measurements"`
	Races        []Race `json:"races"` // in order; the last one compares start and winner
}

// Race is candidates that were measured in turns.
type Race struct {
	Parameter  string      `json:"parameter"`
	Candidates []Candidate `json:"candidates"` // the one in force first
	Won        int         `json:"won"`        // of Candidates
	Because    string      `json:"because"`
}

// Candidate is a value under test.
type Candidate struct {
	Label   string   `json:"label"`
	Samples []Sample `json:"samples"`
	Gain    *Gain    `json:"gain,omitempty"`    // over the first candidate; nil if it is not known
	Refused string   `json:"refused,omitempty"` // why it could not be had
}

// Gain is how much better something is, as a share, and the interval in which
// that is with a confidence of 98 %.
type Gain struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// String is "+5.0 % (+3.1 to +7.2)".
func (g *Gain) String() string {
	return fmt.Sprintf("%+.1f %% (%+.1f to %+.1f)", 100*g.Mean, 100*g.Low, 100*g.High)
}

// search is a search under way.
type search struct {
	o       Options
	space   []Parameter
	object  Objective
	random  *rand.Rand
	applied string // key of the choice in force
	outcome Outcome
	most    int
}

// Search goes through the parameters one by one (coordinate descent). The values
// of each race against the one in force, all measured once a round in an order
// that is drawn anew; values fall out as soon as they are certain not to be worth
// a change (Options.Gain), and the race ends when one is left or the rounds are
// over. Without certainty the one in force stays. At the end the winner is compared
// with the start afresh, so that luck in a race does not count.
//
// It returns what it has found so far also with an error. It leaves the objective
// with any settings: putting back what was there is the caller's to do.
func Search(ctx context.Context, object Objective, space []Parameter, start Choice, o Options) (*Outcome, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	if err := checkSpace(space, start); err != nil {
		return nil, err
	}
	s := &search{o: o, space: space, object: object, random: rand.New(rand.NewPCG(o.Seed, 1))}
	s.outcome.Start, s.outcome.Winner = start.Arguments(space), start.Arguments(space)
	err := s.run(ctx, start)
	return &s.outcome, err
}

func checkSpace(space []Parameter, start Choice) error {
	if len(space) == 0 || len(start) != len(space) {
		return errors.New("nothing to search: a space without parameters")
	}
	for i, p := range space {
		if start[i] < 0 || start[i] >= len(p.Values) {
			return fmt.Errorf("parameter %s: start value %d of %d", p.Name, start[i], len(p.Values))
		}
	}
	return nil
}

func (s *search) run(ctx context.Context, start Choice) error {
	for _, p := range s.space {
		s.most += s.o.Passes * s.o.Rounds * len(p.Values)
	}
	s.most += 2 * s.o.Confirm
	best := slices.Clone(start)
	for range s.o.Passes {
		before := best.key()
		for i := range s.space {
			value, err := s.race(ctx, best, i)
			if err != nil {
				return err
			}
			best = best.with(i, value)
		}
		if best.key() == before {
			break // a pass that changes nothing: the next would not either
		}
	}
	if best.key() == start.key() {
		s.finished("nothing is better than the start")
		return nil
	}
	return s.confirm(ctx, start, best)
}

// unfinished is why a race has no winner when a search ends early.
const unfinished = "not finished"

// race finds the best value of a parameter, the others being as in best.
func (s *search) race(ctx context.Context, best Choice, parameter int) (value int, err error) {
	p := s.space[parameter]
	choices := []Choice{best}
	for v := range p.Values {
		if v != best[parameter] {
			choices = append(choices, best.with(parameter, v))
		}
	}
	r := newRunners(choices)
	won, because := 0, ""
	for round := 1; round <= s.o.Rounds && because == ""; round++ {
		if err = s.round(ctx, r, p.Name); err != nil {
			break
		}
		if round >= fewestRounds {
			won, because = r.judge(s.o.Gain)
		}
	}
	switch {
	case err != nil:
		won, because = 0, unfinished
	case because == "":
		won, because = r.leader(s.o.Gain)
	}
	s.record(p.Name, r, won, because, func(i int) string { return label(p, choices[i][parameter]) })
	return choices[won][parameter], err
}

// round measures every runner that is still in, in an order drawn anew.
func (s *search) round(ctx context.Context, r *runners, what string) error {
	for _, i := range s.random.Perm(len(r.choices)) {
		if r.out[i] {
			continue
		}
		s.o.Progress(Progress{Measurements: s.outcome.Measurements, Most: max(s.most, s.outcome.Measurements),
			Step: fmt.Sprintf("%s %s", what, r.choices[i].key())})
		sample, err := s.measure(ctx, r.choices[i])
		var refused Refused
		if errors.As(err, &refused) && i != 0 {
			r.out[i], r.refused[i] = true, refused.Error()
			continue
		}
		if err != nil {
			return err
		}
		r.samples[i] = append(r.samples[i], sample)
	}
	for i := range r.choices { // the bound on losses is compared when all have run
		if i > 0 && !r.out[i] && r.last(i).Loss > s.o.MaxLoss && r.last(0).Loss <= s.o.MaxLoss {
			r.out[i] = true
		}
	}
	return nil
}

func (s *search) measure(ctx context.Context, c Choice) (Sample, error) {
	if err := ctx.Err(); err != nil {
		return Sample{}, context.Cause(ctx)
	}
	if s.applied != c.key() {
		s.applied = ""
		if err := s.object.Apply(ctx, c.Arguments(s.space)); err != nil {
			if ctx.Err() != nil {
				return Sample{}, context.Cause(ctx)
			}
			return Sample{}, fmt.Errorf("apply %v: %w", c.Arguments(s.space), err)
		}
		s.applied = c.key()
	}
	for range deadTries {
		sample, err := s.object.Measure(ctx)
		if ctx.Err() != nil {
			return sample, context.Cause(ctx) // whatever it says, that is why
		}
		if err != nil {
			return sample, err
		}
		s.outcome.Measurements++
		if sample.Score > 0 {
			return sample, nil
		}
	}
	return Sample{}, fmt.Errorf("measurement with %v: nothing came through, %d times", c.Arguments(s.space), deadTries)
}

// deadTries is how often nothing may come through in a row: once is a machine that
// had no time for the director, or the generator.
const deadTries = 3

// confirm compares the winner with the start, from nothing.
func (s *search) confirm(ctx context.Context, start, winner Choice) error {
	r := newRunners([]Choice{start, winner})
	for range s.o.Confirm {
		if err := s.round(ctx, r, "start or winner"); err != nil {
			s.record("all", r, 0, unfinished, startOrWinner)
			return err
		}
	}
	c := compare(r.scores(1), r.scores(0))
	o := &s.outcome
	o.Gain = c.gain()
	won, because := 0, "too noisy to tell the winner of the races from the start: the start stays"
	if c.low() > 0 && !r.out[1] {
		won, because = 1, "better than the start for certain"
		o.Confirmed, o.Winner = true, winner.Arguments(s.space)
	}
	s.record("all", r, won, because, startOrWinner)
	return nil
}

func startOrWinner(i int) string { return [...]string{"start", "winner"}[i] }

// record notes a race and tells of it.
func (s *search) record(parameter string, r *runners, won int, because string, name func(int) string) {
	race := Race{Parameter: parameter, Won: won, Because: because}
	for i, samples := range r.samples {
		race.Candidates = append(race.Candidates, Candidate{
			Label: name(i), Samples: samples, Gain: compare(r.scores(i), r.scores(0)).gain(), Refused: r.refused[i],
		})
	}
	s.outcome.Races = append(s.outcome.Races, race)
	s.finished(fmt.Sprintf("%-16s %s: %s", parameter, race.Candidates[won].Label, because))
}

func (s *search) finished(line string) {
	s.o.Progress(Progress{Measurements: s.outcome.Measurements, Most: max(s.most, s.outcome.Measurements), Finished: line})
}
