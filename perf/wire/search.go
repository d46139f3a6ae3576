package wire

// A probe offers a rate, in frames a second, and tells which share of the frames
// was lost.
type probe func(rate float64) (loss float64, err error)

// searchLossFree finds the highest rate at which no more than tolerance of the
// frames is lost, to within resolution (a share of start), or 0 if there is none
// down to there. It begins at start: while that is carried it offers a quarter more,
// up to ceiling; then it halves the interval between the best rate that was carried
// and the least that was not (RFC 2544, section 26.1). A rate that loses is offered
// a second time before it counts as lost.
func searchLossFree(start, ceiling, resolution, tolerance float64, p probe) (rate float64, err error) {
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
	good, bad := 0.0, start
	for {
		ok, err := carried(bad)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		if bad >= ceiling {
			return bad, nil
		}
		good, bad = bad, min(bad*growth, ceiling)
	}
	for bad-good > resolution*start {
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

// growth is how fast a search goes up.
const growth = 1.25
