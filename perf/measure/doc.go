// Package measure is what the benchmarks share: clocks that other programs on the
// machine do not move, memory as the director has it, and the machine's description.
//
// The benchmarks call it between their loops. Reading a clock is a system call and
// allocates nothing; the rest may do what it likes.
package measure
