package control

import "time"

// estimatorPeriod is how often rates move (ip_vs_est.c: every 2 seconds).
const estimatorPeriod = 2 * time.Second

// estimator smooths the growth of a Traffic: avg += (rate - avg) / 4 each period.
type estimator struct {
	last Traffic
	rate Rate
}

// update takes the traffic of now, period after the last one.
func (e *estimator) update(now Traffic, period time.Duration) {
	step := func(avg *float64, last, now uint64) {
		*avg += (float64(now-last)/period.Seconds() - *avg) / 4
	}
	step(&e.rate.Connections, e.last.Connections, now.Connections)
	step(&e.rate.Packets, e.last.Packets, now.Packets)
	step(&e.rate.Bytes, e.last.Bytes, now.Bytes)
	e.last = now
}
