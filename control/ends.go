package control

import (
	"fmt"

	"github.com/xlvs/xlvs/bpf"
)

// bothEnds is the lane of a port, and the ways by which the XDP program can send by it,
// when the other ports are looked at, too: what one of them takes in generic mode the kernel
// may have merged (GRO), and a merged frame that is redirected is lost where nobody counts
// it. There is one record a server, whatever port a frame came by, so that all must fit.
func (d *Director) bothEnds(p *port, lane Lane, ways bpf.Ways) (Lane, bpf.Ways) {
	if ways&bpf.Redirected == 0 {
		return lane, ways
	}
	for _, from := range d.ports {
		if from == p || from.index == 0 || from.attached != bpf.Generic {
			continue
		}
		ways &^= bpf.Redirected
		if ways == 0 {
			lane = Lane{false, fmt.Sprintf("frames that %s takes in generic mode may be merged (GRO), "+
				"and cannot be redirected", from.config.Name)}
		}
		break
	}
	return lane, ways
}
