package demo

import "path/filepath"

// paths is where a demo of a name keeps its files.
type paths struct{ name string }

// dir holds all files of the demo, and goes with it.
func (p paths) dir() string { return filepath.Join("/run", p.name) }

// config is the director's file.
func (p paths) config() string { return filepath.Join(p.dir(), "director.yaml") }

// socket is the director's control socket.
func (p paths) socket() string { return filepath.Join(p.dir(), "xlvs.sock") }

// pin is the director's folder on bpffs.
func (p paths) pin() string { return filepath.Join("/sys/fs/bpf", p.name) }
