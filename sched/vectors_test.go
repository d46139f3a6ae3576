package sched

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// testdata/ipvs-hash.tsv holds what kernel IPVS (Linux 7.3) chose, one new connection a
// row; its second line names the columns.
func TestKernelChoosesTheSame(t *testing.T) {
	file, err := os.ReadFile("testdata/ipvs-hash.tsv")
	if err != nil {
		t.Fatal(err)
	}
	schedulers := make(map[string]service.Scheduler)
	rows := make(map[string]int)
	for n, line := range strings.Split(strings.TrimSpace(string(file)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		column := strings.Split(line, "\t")
		if len(column) != 7 {
			t.Fatalf("line %d has %d columns", n+1, len(column))
		}
		name, want := column[0], netip.MustParseAddrPort(column[6])
		case4 := strings.Join(column[:4], " ")
		s := schedulers[case4]
		if s == nil {
			s = mustNew(t, name, vectorServers(t, column[2], column[3]), vectorOptions(column[1]))
			schedulers[case4] = s
		}
		r := request(column[4], column[5])
		r.Tuple.Protocol = packet.UDP
		rows[name]++
		if real := s.Schedule(r); real == nil || netip.AddrPortFrom(real.Addr, real.Port) != want {
			t.Errorf("line %d: %s: client %s of %s goes to %v, in the kernel to %v", n+1, case4, column[4], column[5], real, want)
		}
	}
	if rows["sh"] != 1040 || rows["mh"] != 1040 || rows["dh"] != 64 {
		t.Errorf("rows %v: want 1040 of sh, 1040 of mh and 64 of dh", rows)
	}
}

func vectorOptions(flags string) Options {
	if flags == "-" {
		return Options{}
	}
	return Options{Flags: strings.Split(flags, ",")}
}

func vectorServers(t *testing.T, family, weights string) []*service.RealServer {
	var ws []int32
	for _, w := range strings.Split(weights, ",") {
		n, err := strconv.ParseInt(w, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		ws = append(ws, int32(n))
	}
	reals := servers(ws...)
	if family == "ip6" {
		for i, r := range reals {
			r.Addr = netip.MustParseAddr("fd00::" + strconv.Itoa(11+i)) // ::11, ::12: hexadecimal, as in the file
		}
	}
	return reals
}
