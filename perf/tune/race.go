package tune

// runners are the candidates of a race. The first is the one in force.
type runners struct {
	choices []Choice
	samples [][]Sample // by candidate and round
	out     []bool
	refused []string // why a candidate could not be had
}

func newRunners(choices []Choice) *runners {
	return &runners{choices: choices, samples: make([][]Sample, len(choices)), out: make([]bool, len(choices)), refused: make([]string, len(choices))}
}

// scores are a runner's, by round. All who are in have run in the same rounds;
// one that is out has run in the first of them.
func (r *runners) scores(i int) []float64 {
	var all []float64
	for _, s := range r.samples[i] {
		all = append(all, s.Score)
	}
	return all
}

func (r *runners) last(i int) Sample { return r.samples[i][len(r.samples[i])-1] }

// judge sends runners out that cannot win any more, and tells who has won if that
// is certain; because is empty while it is not. worth is the gain, as a share, that
// a change needs.
func (r *runners) judge(worth float64) (won int, because string) {
	first := r.scores(0)
	best := -1
	for i := 1; i < len(r.choices); i++ {
		if r.out[i] {
			continue
		}
		c := compare(r.scores(i), first)
		if gain(c.high()) < worth {
			r.out[i] = true
			continue
		}
		if best < 0 || c.mean > compare(r.scores(best), first).mean {
			best = i
		}
	}
	if best < 0 {
		return 0, "no other value is worth a change"
	}
	left := 0
	for i := 1; i < len(r.choices); i++ {
		if i != best && !r.out[i] && compare(r.scores(best), r.scores(i)).low() > 0 {
			r.out[i] = true
		}
		if !r.out[i] {
			left++
		}
	}
	if c := compare(r.scores(best), first); left == 1 && c.low() > 0 && gain(c.mean) >= worth {
		return best, "better for certain"
	}
	return 0, ""
}

// leader is who wins when the rounds are over: the best of those that are better
// than the one in force for certain, or else that one.
func (r *runners) leader(worth float64) (won int, because string) {
	first, most := r.scores(0), 0.0
	because = "too noisy to tell: the value in force stays"
	for i := 1; i < len(r.choices); i++ {
		c := compare(r.scores(i), first)
		if !r.out[i] && c.low() > 0 && gain(c.mean) >= worth && c.mean > most {
			won, most, because = i, c.mean, "better for certain, if not than all others"
		}
	}
	return won, because
}
