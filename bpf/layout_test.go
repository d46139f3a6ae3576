package bpf

import (
	"slices"
	"testing"

	"github.com/xlvs/xlvs/affinity"
)

// The program reads the tables, so that a layout of theirs goes with a layout of the maps: a
// program that is taken over with its maps must not look into tables that it does not know.
// Whoever changes affinity.LayoutVersion raises layout, too, and adds the pair here.
func TestLayoutsGoTogether(t *testing.T) {
	type pair struct{ tables, maps int }
	known := []pair{{1, 3}, {2, 4}, {2, 5}}
	if now := (pair{affinity.LayoutVersion, layout}); !slices.Contains(known, now) {
		t.Errorf("tables of layout %d with maps of layout %d: known are %v", now.tables, now.maps, known)
	}
}
