package wire

// A probe offers a rate, in frames a second, and tells which share of the frames
// was lost.
type probe func(rate float64) (loss float64, err error)

// searchLossFree finds the highest rate up to ceiling at which no more than
// tolerance of the frames is lost, to within resolution of the ceiling (a share),
// or 0 if there is none down to there. It asks probe for the ceiling first, and
// then halves the interval (RFC 2544, section 26.1). A rate that loses is offered
// a second time before it counts as lost.
func searchLossFree(ceiling, resolution, tolerance float64, p probe) (rate float64, err error) {
	carried := func(rate float64) (bool, error) {
		for range 2 {
			loss, err := p(rate)
			if err != nil {
				return false, err
			}
			if loss <= tolerance {
				return true, nil
			}
		}
		return false, nil
	}
	good, bad := 0.0, ceiling
	if ok, err := carried(ceiling); ok || err != nil {
		return ceiling, err
	}
	for bad-good > resolution*ceiling {
		middle := good + (bad-good)/2
		ok, err := carried(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			good = middle
		} else {
			bad = middle
		}
	}
	return good, nil
}
