package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
)

// The program is loaded with the numbers of its tables in its instructions: with all of them,
// and with no mark left.
func TestConstantsAreInTheInstructions(t *testing.T) {
	memory := openTables(t, nil, laneConfig.Size())
	formatTables(t, memory, laneConfig)
	fresh := func() *ebpf.CollectionSpec {
		t.Helper()
		spec, err := loadSteer()
		if err != nil {
			t.Fatal(err)
		}
		return spec
	}
	spec, named := fresh(), map[int]bool{}
	for _, ins := range fresh().Programs[steerProgXlvsSteer].Instructions {
		if ins.OpCode.IsDWordLoad() && ins.Constant>>32 == constantMark {
			named[int(uint32(ins.Constant))] = true
		}
	}
	setConstants(spec, memory.Bytes())
	there := map[int64]bool{}
	for _, ins := range spec.Programs[steerProgXlvsSteer].Instructions {
		there[ins.Constant] = true
		if ins.Constant>>32 == constantMark {
			t.Errorf("a mark is left: %v", ins)
		}
	}
	want := 11 // words of the secret
	for table := range 4 {
		want++
		if !named[constantFirst+table] {
			t.Errorf("table %d: the program does not know where it begins", table)
		}
		if table < 2 { // the program looks up connections
			want += 2
		}
	}
	if len(named) != want {
		t.Errorf("the program asks for %d numbers, want %d: %v", len(named), want, named)
	}
	for n := range named {
		if !there[constant(n, memory.Bytes())] {
			t.Errorf("number %#x is not in the program", n)
		}
	}
}
