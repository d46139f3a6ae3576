package wire

import (
	"testing"
	"time"

	"github.com/xlvs/xlvs/perf/measure"
)

// Threads that did next to nothing waited for nobody's frames.
func TestWaitedSince(t *testing.T) {
	before := map[int]measure.Schedule{1: {Ran: time.Second, Waited: time.Second}, 2: {}, 3: {}}
	now := map[int]measure.Schedule{
		1: {Ran: 3 * time.Second, Waited: time.Second + 20*time.Millisecond}, // carried frames
		2: {Ran: time.Millisecond, Waited: time.Second},                      // did not
		4: {Ran: time.Second, Waited: 10 * time.Millisecond},                 // new, and did
	}
	if got := waitedSince(before, now, 2*time.Second); got != 20*time.Millisecond {
		t.Errorf("waited %v, want 20ms", got)
	}
	if got := waitedSince(nil, nil, time.Second); got != 0 {
		t.Errorf("waited %v without threads", got)
	}
}
