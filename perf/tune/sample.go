package tune

import (
	"math"
	"slices"
)

// paired is how much better one candidate is than another, from measurements
// taken in the same rounds: the mean of the logarithms of their ratios, and the
// half-width of its confidence interval. What slows the machine down for a whole
// round slows both down, and drops out.
//
// A virtual machine is stopped for a moment now and then, which spoils a
// measurement altogether. So a fifth of the rounds is left out at each end, and the
// interval is Yuen's for trimmed means (K. Yuen, Biometrika 61, 1974).
type paired struct {
	mean, half float64
	n          int
}

// trim is one part in so many that is left out at each end.
const trim = 5

// compare pairs the scores of a and b of the rounds that both have.
func compare(a, b []float64) paired {
	n := min(len(a), len(b))
	if n == 0 {
		return paired{half: math.Inf(1)}
	}
	ratios := make([]float64, n)
	for i := range n {
		ratios[i] = math.Log(a[i] / b[i])
	}
	slices.Sort(ratios)
	out := n / trim
	kept := ratios[out : n-out]
	mean := average(kept)
	if n == 1 {
		return paired{mean, math.Inf(1), n}
	}
	for i := range out { // winsorized: what is left out counts as its last neighbour
		ratios[i], ratios[n-1-i] = kept[0], kept[len(kept)-1]
	}
	center, squares := average(ratios), 0.0
	for _, r := range ratios {
		squares += (r - center) * (r - center)
	}
	h := float64(len(kept))
	return paired{mean, student(len(kept)-1) * math.Sqrt(squares/(h*(h-1))), n}
}

func average(all []float64) float64 {
	sum := 0.0
	for _, v := range all {
		sum += v
	}
	return sum / float64(len(all))
}

func (p paired) low() float64  { return p.mean - p.half }
func (p paired) high() float64 { return p.mean + p.half }

// gain is the comparison as shares, nil if there is too little to tell.
func (p paired) gain() *Gain {
	if math.IsInf(p.half, 0) {
		return nil
	}
	return &Gain{gain(p.mean), gain(p.low()), gain(p.high())}
}

// gain is a logarithm of a ratio as a share: 0.05 is 5 % more.
func gain(logarithm float64) float64 { return math.Expm1(logarithm) }

// quantiles of Student's t distribution at 0.99, by degrees of freedom from 1.
var quantiles = []float64{
	31.821, 6.965, 4.541, 3.747, 3.365, 3.143, 2.998, 2.896, 2.821, 2.764,
	2.718, 2.681, 2.650, 2.624, 2.602, 2.583, 2.567, 2.552, 2.539, 2.528,
	2.518, 2.508, 2.500, 2.492, 2.485, 2.479, 2.473, 2.467, 2.462, 2.457,
}

func student(freedom int) float64 {
	if freedom <= len(quantiles) {
		return quantiles[freedom-1]
	}
	return 2.33 // the normal distribution, a little less than the truth
}
