package wire

// The generated files are committed; bpf/generate.go says how they come about.
//
//go:generate go tool bpf2go -go-package wire -target bpfel -cc clang -cflags "-O2 -g -Wall -Wextra -Werror -mcpu=v3" -type stream -type tally -type expected wire wire.c
