package sched

import (
	"slices"
	"testing"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
	"pgregory.net/rapid"
)

// hashOracle is sh, dh or mh with a table of whatever kind: the client's place in it by
// hash, and with fallback the places offset by offset.
func hashOracle(table []*service.RealServer, hash func(offset uint32) uint32, fallback bool) *service.RealServer {
	if len(table) == 0 {
		return nil
	}
	first := hash(0)
	if r := table[first]; r.Available() || !fallback {
		if !r.Available() {
			return nil
		}
		return r
	}
	for i := range table {
		if r := table[hash((uint32(i)+first)%uint32(len(table)))]; r.Available() {
			return r
		}
	}
	return nil
}

// shTable has each server as often as its weight says, over and over, cut at 256.
func shTable(reals []*service.RealServer, weighted bool) (table []*service.RealServer) {
	for len(reals) > 0 && len(table) < 256 {
		for _, r := range walk(reals) {
			n := 1
			if weighted {
				n = max(1, min(256, int(r.Weight)))
			}
			table = append(table, slices.Repeat([]*service.RealServer{r}, n)...)
		}
	}
	return table[:min(256, len(table))]
}

func TestHashSchedulersAgainstOracles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reals := servers(rapid.SliceOfN(rapid.OneOf(weight, rapid.Int32Range(0, 300)), 0, 8).Draw(t, "weights")...)
		disturb(t, reals)
		fallback, port := rapid.Bool().Draw(t, "fallback"), rapid.Bool().Draw(t, "port")
		opt := Options{}
		if fallback {
			opt.Flags = append(opt.Flags, "flag-1")
		}
		if port {
			opt.Flags = append(opt.Flags, "flag-2")
		}
		for range 10 {
			checkHashes(t, reals, opt, fallback, port)
		}
	})
}

// checkHashes draws a client and compares where sh and dh send it with the oracles.
func checkHashes(t *rapid.T, reals []*service.RealServer, opt Options, fallback, port bool) {
	r := from("198.51.100.1:4000")
	r.Tuple.SrcPort = rapid.Uint16().Draw(t, "port number")
	r.Tuple.Src.Lo ^= uint64(rapid.Uint32().Draw(t, "client"))
	source, destination := r.Tuple.Src.V4(), r.Tuple.Dst.V4()
	if rapid.Bool().Draw(t, "ipv6") {
		r.Tuple.Src.Hi, r.Tuple.Dst.Hi = rapid.Uint64Min(1).Draw(t, "high"), rapid.Uint64Min(1).Draw(t, "destination")
		words := func(a packet.Addr) uint32 {
			return uint32(a.Hi>>32) ^ uint32(a.Hi) ^ uint32(a.Lo>>32) ^ uint32(a.Lo)
		}
		source, destination = words(r.Tuple.Src), words(r.Tuple.Dst)
	}
	if port {
		source += uint32(r.Tuple.SrcPort)
	}
	golden := func(v uint32) uint32 { return uint32(uint64(v) * 0x61C88647 & 0xffffffff >> 24) }
	sh := hashOracle(shTable(reals, true), func(offset uint32) uint32 { return (offset + golden(source)) & 255 }, fallback)
	dh := hashOracle(shTable(reals, false), func(uint32) uint32 { return golden(destination) }, false)
	for name, want := range map[string]*service.RealServer{"sh": sh, "dh": dh} {
		if got := mustNewRapid(t, name, reals, opt).Schedule(r); got != want {
			t.Fatalf("%s chose %d, want %d", name, lastByte(got), lastByte(want))
		}
	}
}

// A port that a packet does not have must not decide: fragments, other protocols.
func TestPortFlagNeedsAProtocolWithPorts(t *testing.T) {
	for _, name := range []string{"sh", "mh"} {
		s := mustNew(t, name, servers(1, 1, 1, 1, 1), Options{Flags: []string{"flag-2"}})
		r := from("198.51.100.1:0")
		want := s.Schedule(r)
		r.Tuple.Protocol = 47
		for port := range uint16(100) {
			r.Tuple.SrcPort = port
			if got := s.Schedule(r); got != want {
				t.Fatalf("%s: port %d of a protocol without ports decides", name, port)
			}
		}
	}
}
