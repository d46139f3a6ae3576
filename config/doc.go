// Package config reads the director's one YAML file.
//
// [Parse] takes the text of a file, strictly: an unknown key, a value out of
// its range or two parts that contradict each other are errors. It finds all of
// them in one pass, and each [Error] says where it is, what is wrong and what
// to do, with an excerpt of the lines. A file that passes becomes a [Config],
// in which every default is filled in and every reference resolved, so that
// package control builds a snapshot from it without a decision of its own.
//
// The commands run and check, and the Director at a reload, call it. It reads
// the file and nothing else of the host: whether an interface exists is for the
// Director to find out. It may allocate and takes as long as the file is long;
// nothing on the packet path calls it. A Config is read-only once returned and
// may be used from any goroutine.
//
// The keys, their meaning, units, defaults and limits are documented in
// examples/reference.yaml, which a test holds to the truth.
package config
