package tune

import "math"

// paired is how much better one candidate is than another, from measurements
// taken in the same rounds: the mean of the logarithms of their ratios, and the
// half-width of its confidence interval. What slows the machine down for a whole
// round slows both down, and drops out.
type paired struct {
	mean, half float64
	n          int
}

// compare pairs the scores of a and b of the rounds that both have.
func compare(a, b []float64) paired {
	n := min(len(a), len(b))
	if n == 0 {
		return paired{half: math.Inf(1)}
	}
	var sum, squares float64
	for i := range n {
		d := math.Log(a[i] / b[i])
		sum += d
		squares += d * d
	}
	mean := sum / float64(n)
	if n == 1 {
		return paired{mean, math.Inf(1), n}
	}
	variance := max(0, (squares-sum*mean)/float64(n-1))
	return paired{mean, student(n-1) * math.Sqrt(variance/float64(n)), n}
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
