//go:build !race

#include "textflag.h"

// func publish4(s *slot, ident, bind, life, address uint64)
TEXT ·publish4(SB), NOSPLIT, $0-40
	MOVQ s+0(FP), AX
	MOVQ ident+8(FP), BX
	MOVQ bind+16(FP), CX
	MOVQ life+24(FP), DX
	MOVQ address+32(FP), SI
	MOVQ SI, 24(AX)
	MOVQ CX, 8(AX)
	MOVQ DX, 16(AX)
	MOVQ BX, 0(AX)
	RET

// func publish6(l *line, ident, bind, life uint64, address *[4]uint64)
TEXT ·publish6(SB), NOSPLIT, $0-40
	MOVQ l+0(FP), AX
	MOVQ ident+8(FP), BX
	MOVQ bind+16(FP), CX
	MOVQ life+24(FP), DX
	MOVQ address+32(FP), SI
	MOVQ 0(SI), DI
	MOVQ 8(SI), R8
	MOVQ 16(SI), R9
	MOVQ 24(SI), R10
	MOVQ DI, 24(AX)
	MOVQ R8, 32(AX)
	MOVQ R9, 40(AX)
	MOVQ R10, 48(AX)
	MOVQ CX, 8(AX)
	MOVQ DX, 16(AX)
	MOVQ BX, 0(AX)
	RET
