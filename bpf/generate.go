package bpf

// The generated files are committed, so that building xlvs needs no compiler
// but Go's. They were made with clang 14.0.6 and the headers of libbpf 1.1
// (Debian 12: clang, llvm, libbpf-dev); another version may allocate registers
// differently, and then the program's tag differs too. Only little-endian
// machines are built for.
//
//go:generate go tool bpf2go -go-package bpf -target bpfel -cc clang -cflags "-O2 -g -Wall -Wextra -Werror -mcpu=v3" -type reason -type port_state -type condition_flags -type setting -type prefix -type entry -type claim -type port_set -type span -type condition -type server -type ways -type method -type layout -type traffic steer steer.c
