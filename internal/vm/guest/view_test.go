//go:build vmtest

package guest

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// view is what a director's listings say, in words that both directors have.
type view struct {
	connections []connection
	templates   []template
	loads       map[string]load // by service and server
}

type connection struct {
	protocol        string
	client, virtual netip.AddrPort
	server          int
	state           string
	expires         float64 // seconds
}

type template struct {
	of      string // "FWM 80", or "TCP 198.51.100.1:80"
	client  netip.Addr
	server  int
	assured bool
	expires float64 // seconds; 0 or less: kept by its connections
}

// load is a server's connections.
type load struct{ active, inactive int }

// String is without the expiry.
func (c connection) String() string {
	return fmt.Sprintf("%s %v -> %v at server %d, %s", c.protocol, c.client, c.virtual, c.server, c.state)
}

func (t template) String() string {
	return fmt.Sprintf("template of %s for %v at server %d, assured %t", t.of, t.client, t.server, t.assured)
}

// stateOf is the state of a client's connection, "" if there is none.
func (v view) stateOf(client netip.AddrPort) string {
	for _, c := range v.connections {
		if c.client == client {
			return c.state
		}
	}
	return ""
}

// templateOf is a client's first template, nil if it has none.
func (v view) templateOf(client netip.Addr) *template {
	for _, t := range v.templates {
		if t.client == client {
			return &t
		}
	}
	return nil
}

// only keeps what a filter of clients and one of services let through, sorted.
func (v view) only(client func(netip.Addr) bool, service func(string) bool) view {
	out := view{loads: map[string]load{}}
	for _, c := range v.connections {
		if client(c.client.Addr()) {
			out.connections = append(out.connections, c)
		}
	}
	for _, t := range v.templates {
		if client(t.client) && service(t.of) {
			out.templates = append(out.templates, t)
		}
	}
	for name, l := range v.loads {
		if at := strings.Index(name, " server "); service(name[:at]) {
			out.loads[name] = l
		}
	}
	slices.SortFunc(out.connections, func(a, b connection) int { return cmp.Compare(a.String(), b.String()) })
	slices.SortFunc(out.templates, func(a, b template) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

// clockSlack is how far the timers of two directors may be apart, in seconds: the
// same packet comes to one after the other, and each rounds.
const clockSlack = 4

// differences between what IPVS lists and what xlvs lists, in words.
func differences(kernel, ours view) []string {
	var all differing
	kernelLines, oursLines := map[string]float64{}, map[string]float64{}
	for _, v := range []struct {
		view
		lines map[string]float64
	}{{kernel, kernelLines}, {ours, oursLines}} {
		for _, c := range v.connections {
			v.lines[c.String()] = c.expires
		}
		for _, t := range v.templates {
			v.lines[t.String()] = t.expires
		}
	}
	all.lines(kernelLines, oursLines, "ipvs alone has %s")
	all.lines(oursLines, kernelLines, "xlvs alone has %s")
	for line, expires := range kernelLines {
		if other, ok := oursLines[line]; ok && math.Abs(expires-other) > clockSlack {
			all.add("%s expires in %g s in ipvs, %g s in xlvs", line, expires, other)
		}
	}
	for name, l := range kernel.loads {
		if o := ours.loads[name]; o != l {
			all.add("%s has %d active and %d inactive connections in ipvs, %d and %d in xlvs", name, l.active, l.inactive, o.active, o.inactive)
		}
	}
	slices.Sort(all)
	return all
}

type differing []string

func (d *differing) add(format string, args ...any) { *d = append(*d, fmt.Sprintf(format, args...)) }

// lines notes what is in has and not in lacks.
func (d *differing) lines(has, lacks map[string]float64, format string) {
	for line := range has {
		if _, ok := lacks[line]; !ok {
			d.add(format, line)
		}
	}
}
