package result

import "slices"

// NoisyFrom is the spread from which on a measurement tells too little.
const NoisyFrom = 0.15

// Rounds is one quantity measured again and again, in the order of the rounds.
type Rounds []float64

// Median is the middle of the rounds, 0 if there are none.
func (r Rounds) Median() float64 { return r.quantile(0.5) }

// Spread is the distance of the quartiles as a share of the median: half of the
// rounds were that near to each other. 0 for fewer than two rounds.
func (r Rounds) Spread() float64 {
	median := r.Median()
	if median == 0 {
		return 0
	}
	return (r.quantile(0.75) - r.quantile(0.25)) / median
}

// Noisy reports whether the spread is too wide for the median to mean much.
func (r Rounds) Noisy() bool { return r.Spread() > NoisyFrom }

// Min is the smallest, 0 if there are none.
func (r Rounds) Min() float64 { return r.quantile(0) }

// Max is the largest, 0 if there are none.
func (r Rounds) Max() float64 { return r.quantile(1) }

// quantile interpolates between the two rounds nearest to q of 0 to 1.
func (r Rounds) quantile(q float64) float64 {
	if len(r) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(r))
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

// Ratio divides round by round. What slows a machine down for a while slows down
// both of two that take turns, so that the median of their ratios holds where the
// ratio of their medians may not. Rounds that only one of them has are left out.
func Ratio(of, to Rounds) Rounds {
	n := min(len(of), len(to))
	ratios := make(Rounds, 0, n)
	for i := range n {
		if to[i] != 0 {
			ratios = append(ratios, of[i]/to[i])
		}
	}
	return ratios
}
