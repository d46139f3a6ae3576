package affinity

import "time"

// Tick is a time in units of 1/8 s of CLOCK_MONOTONIC. It wraps after 17
// years; comparison is by signed difference, so two ticks may be compared when
// they are less than 2^31 ticks (8.5 years) apart. The longest timeout, 31
// days, is 21.4 million ticks, and Sweep removes expired entries long before
// their age comes near the bound.
type Tick uint32

// TicksPerSecond is how many ticks a second has.
const TicksPerSecond = 8

// tickLength is the length of one tick.
const tickLength = time.Second / TicksPerSecond

// MaxTimeout is the longest timeout that the tables take: a year, well inside of
// the bound on comparison.
const MaxTimeout = 365 * 24 * time.Hour

// TickAt returns the tick of a reading of CLOCK_MONOTONIC in nanoseconds.
func TickAt(monotonic int64) Tick { return Tick(uint64(monotonic) / uint64(tickLength)) }

// Ticks returns a timeout in ticks, rounded up, at least 1 and at most
// MaxTimeout's, so that no entry is born expired or immortal.
func Ticks(timeout time.Duration) Tick {
	return Tick((min(max(timeout, 1), MaxTimeout) + tickLength - 1) / tickLength)
}

// After reports whether t is later than u.
func (t Tick) After(u Tick) bool { return int32(t-u) > 0 }

// Since returns the time from u to t; it is negative if t is earlier.
func (t Tick) Since(u Tick) time.Duration { return time.Duration(int32(t-u)) * tickLength }
