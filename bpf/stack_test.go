package bpf

import (
	"testing"

	"github.com/cilium/ebpf/asm"
)

// The stack of all functions that call one another may have 512 bytes, and each counts in
// steps of 32 where the kernel is older than 6.8 (check_max_stack_depth). The kernel that the
// tests run on may be newer, and lets more through.
func TestStackOnOlderKernels(t *testing.T) {
	spec, err := loadSteer()
	if err != nil {
		t.Fatal(err)
	}
	const limit, step, spills = 512, 32, 24 // of a call of bpf_loop, which the verifier inlines
	own, calls := map[string]int{}, map[string]map[string]bool{}
	function := ""
	for _, ins := range spec.Programs[steerProgXlvsSteer].Instructions {
		if name := ins.Symbol(); name != "" {
			function = name
			own[name], calls[name] = 1, map[string]bool{}
		}
		if ins.IsFunctionReference() {
			calls[function][ins.Reference()] = true
		}
		if ins.IsBuiltinCall() && ins.Constant == int64(asm.FnLoop) {
			own[function] += spills
		}
		own[function] = max(own[function], stackOf(&ins))
	}
	var depth func(name string) int
	depth = func(name string) (deepest int) {
		for callee := range calls[name] {
			deepest = max(deepest, depth(callee))
		}
		return deepest + (own[name]+step-1)/step*step
	}
	if got := depth(steerProgXlvsSteer); got > limit || got < limit/4 {
		t.Errorf("%d bytes of stack, at most %d are allowed: %v", got, limit, own)
	}
}

// stackOf is how far down the stack an instruction reaches: by a load or a store, or by
// what is left of an address that is taken: add r, -n.
func stackOf(ins *asm.Instruction) int {
	op := ins.OpCode
	isAdd := op.Class() == asm.ALU64Class && op.ALUOp() == asm.Add && op.Source() == asm.ImmSource
	switch class := op.Class(); {
	case class.IsStore() && ins.Dst == asm.RFP, class.IsLoad() && ins.Src == asm.RFP:
		return -int(ins.Offset)
	case isAdd && ins.Constant < 0:
		return -int(ins.Constant)
	}
	return 0
}
