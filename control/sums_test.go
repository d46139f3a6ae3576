package control

import "testing"

func TestPartialSumsAreSeenByWhatWorkersDo(t *testing.T) {
	var w sumWatch
	var completed, frames uint64
	second := func(looked, all uint64) bool {
		completed, frames = completed+looked, frames+all
		w.update(completed, frames)
		return w.partial
	}
	for _, sound := range [][2]uint64{{0, 0}, {0, 1000}, {1, 3}, {20, 1_000_000}} {
		if second(sound[0], sound[1]) {
			t.Errorf("%d of %d frames are taken for partial ones, by chance", sound[0], sound[1])
		}
	}
	if !second(2, 2) || !second(0, 0) {
		t.Error("a client's SYN and ACK with partial sums were not noticed")
	}
	for i := range soundSeconds {
		if want := i+1 < soundSeconds; second(0, 5) != want {
			t.Errorf("after %d sound seconds senders are taken for cured: %t", i+1, want)
		}
		second(0, 0) // a second without frames says nothing
	}
}
