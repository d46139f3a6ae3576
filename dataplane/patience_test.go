package dataplane

import (
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	const busy, idle = spinFor / 4, 20 * spinFor
	for _, test := range []struct {
		name  string
		after time.Duration // what the frames came after
		n     int           // how many there were
		waits bool
	}{
		{"one after the other", busy, 1, true},
		{"a trickle", idle, 1, false},
		{"many that came while it slept", idle, 64, true},
		{"a few in a long time", idle, 4, false},
	} {
		clock := time.Hour
		p := patience{now: func() time.Duration { return clock }, last: clock - test.after}
		p.found(test.n)
		if got := p.lasts(); got != test.waits {
			t.Errorf("%s: patience lasts: %v, want %v", test.name, got, test.waits)
		}
		clock += spinFor
		if p.lasts() {
			t.Errorf("%s: patience lasts for more than %v", test.name, spinFor)
		}
		clock -= spinFor
		if p.lasts() {
			t.Errorf("%s: patience that has ended comes back without a frame", test.name)
		}
	}
}

func TestPatienceIsNoneAtTheStart(t *testing.T) {
	p := patience{now: func() time.Duration { return time.Hour }}
	if p.lasts() {
		t.Error("a worker that has seen no frame spins")
	}
}
