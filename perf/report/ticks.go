package report

import (
	"fmt"
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// ticksAt are ticks at the values that there are.
type ticksAt []float64

// Ticks marks the values with their numbers in short.
func (t ticksAt) Ticks(_, _ float64) []plot.Tick {
	ticks := make([]plot.Tick, len(t))
	for i, v := range t {
		ticks[i] = plot.Tick{Value: v, Label: short(v)}
	}
	return ticks
}

// evenTicks marks some five round values.
type evenTicks struct{}

// Ticks marks multiples of 1, 2 or 5 of a power of ten.
func (evenTicks) Ticks(low, high float64) []plot.Tick {
	const about = 5
	step := math.Pow(10, math.Floor(math.Log10((high-low)/about)))
	for _, factor := range []float64{2, 2.5, 2} {
		if (high-low)/step > 1.6*about {
			step *= factor
		}
	}
	var ticks []plot.Tick
	for n := math.Ceil(low / step); n*step <= high && len(ticks) < 4*about; n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: strconv.FormatFloat(n*step, 'g', 6, 64)})
	}
	return ticks
}

// decades are ticks at the powers of ten of a logarithmic scale.
type decades func(float64) string

// Ticks marks each power of ten with what the function writes.
func (write decades) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for n := math.Ceil(math.Log10(low)); n <= math.Floor(math.Log10(high)); n++ {
		v := math.Pow(10, n)
		ticks = append(ticks, plot.Tick{Value: v, Label: write(v)})
	}
	return ticks
}

// lasting writes microseconds with the unit that suits them.
func lasting(us float64) string {
	write := func(v float64, unit string) string { return strconv.FormatFloat(v, 'g', 3, 64) + " " + unit }
	switch {
	case us < 1:
		return write(us*1e3, "ns")
	case us < 1e3:
		return write(us, "µs")
	case us < 1e6:
		return write(us/1e3, "ms")
	}
	return write(us/1e6, "s")
}

// short writes a number with a unit: 4096 as 4 Ki, 1500000 as 1.5 M.
func short(v float64) string {
	n := int64(v)
	switch {
	case v != float64(n) || n < 1000:
		return strconv.FormatFloat(v, 'g', 3, 64)
	case n%(1<<20) == 0:
		return fmt.Sprintf("%d Mi", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%d Ki", n>>10)
	case n >= 1e6:
		return strconv.FormatFloat(math.Round(v/1e4)/100, 'g', 4, 64) + " M"
	}
	return strconv.FormatFloat(math.Round(v/10)/100, 'g', 4, 64) + " k"
}
