package control

import (
	"testing"

	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/config"
)

func TestLanesAreJudgedByBothEnds(t *testing.T) {
	open := Lane{true, "for a reason"}
	const both = bpf.Back | bpf.Redirected
	for _, test := range []struct {
		name      string
		own       bpf.AttachMode
		other     bpf.AttachMode
		otherGone bool
		ways      bpf.Ways
		want      bpf.Ways
	}{
		{name: "both native", own: bpf.Native, other: bpf.Native, ways: both, want: both},
		{name: "the other is generic", own: bpf.Native, other: bpf.Generic, ways: both, want: bpf.Back},
		{name: "a veth, and the other is generic", own: bpf.Native, other: bpf.Generic, ways: bpf.Redirected, want: 0},
		{name: "the other is generic, and gone", own: bpf.Native, other: bpf.Generic, otherGone: true, ways: both, want: both},
		{name: "itself generic", own: bpf.Generic, other: bpf.Native, ways: bpf.Back, want: bpf.Back},
		{name: "both generic", own: bpf.Generic, other: bpf.Generic, ways: bpf.Back, want: bpf.Back},
		{name: "closed", own: bpf.Native, other: bpf.Generic, ways: 0, want: 0},
	} {
		own := &port{config: config.Interface{Name: "eth0"}, index: 2, attached: test.own}
		other := &port{config: config.Interface{Name: "eth1"}, index: 3, attached: test.other}
		if test.otherGone {
			other.index = 0
		}
		d := &Director{ports: []*port{own, other}}
		lane, ways := d.bothEnds(own, open, test.ways)
		if ways != test.want {
			t.Errorf("%s: ways are %v, want %v", test.name, ways, test.want)
		}
		if closed := test.ways != 0 && test.want == 0; lane.Open == closed {
			t.Errorf("%s: the lane is %v", test.name, lane)
		}
	}
}
