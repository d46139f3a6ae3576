package wire

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// TestSearchFindsTheCapacity searches for the capacity of a model that loses all
// that is above it, and now and then something else for no reason.
func TestSearchFindsTheCapacity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.Float64Range(1e3, 1e7).Draw(t, "capacity")
		start := capacity * rapid.Float64Range(0.2, 4).Draw(t, "start")
		ceiling := start * rapid.Float64Range(1, 8).Draw(t, "ceiling")
		resolution := rapid.Float64Range(0.005, 0.2).Draw(t, "resolution")
		tolerance := rapid.SampledFrom([]float64{0, 1e-4, 0.01}).Draw(t, "tolerance")
		hiccup := rapid.IntRange(2, 9).Draw(t, "hiccup")
		probes := 0
		got, err := searchLossFree(start, ceiling, resolution, tolerance, func(rate float64) (float64, error) {
			probes++
			if rate <= 0 || rate > max(ceiling, start) {
				t.Fatalf("offers %.0f, ceiling %.0f", rate, ceiling)
			}
			if probes%hiccup == 0 {
				return 0.5, nil // never twice in a row: the search asks again
			}
			return max(0, rate-capacity) / rate, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		most := capacity / (1 - tolerance)
		if got > most*(1+1e-9) {
			t.Fatalf("found %.0f, which loses: the capacity is %.0f", got, most)
		}
		if want := min(most, ceiling); got < want-resolution*start*(1+1e-9) {
			t.Fatalf("found %.0f, want %.0f to within %.0f", got, want, resolution*start)
		}
		if probes > 80 {
			t.Fatalf("%d probes", probes)
		}
	})
}

func TestSearchEndsWithAnError(t *testing.T) {
	broken := errors.New("broken")
	for fail := 1; fail <= 5; fail++ {
		calls := 0
		_, err := searchLossFree(100, 200, 0.01, 0, func(rate float64) (float64, error) {
			if calls++; calls == fail {
				return 0, broken
			}
			return max(0, rate-110), nil
		})
		if !errors.Is(err, broken) || calls != fail {
			t.Errorf("probe %d fails: error %v after %d probes", fail, err, calls)
		}
	}
}

func TestSearchOfWhatCarriesNothing(t *testing.T) {
	got, err := searchLossFree(100, 100, 0.02, 0, func(float64) (float64, error) { return 1, nil })
	if got != 0 || err != nil {
		t.Errorf("found %v, %v", got, err)
	}
}
