package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// opponent is a balancer, or a part of one.
type opponent struct {
	name string
	does string // in a line
	// start starts it on the bed's far end. It returns an unavailable if this machine
	// cannot have it.
	start func(context.Context, *bed, *Options) (*running, error)
}

// opponents are all there are, in the order that listings have them.
var opponents = []opponent{
	{"xlvs", "the director: marks, persistence, connections, direct routing", startDirector},
	{"xlvs-workers", "the director without its express lane: every frame through AF_XDP", startWorkers},
	{"asavie", "github.com/asavie/xdp, swapping MAC addresses", startForwarder(ForwardAsavie)},
	{"nft-dsr", "nftables on netdev ingress: ether daddr set jhash, fwd", startNftDSR},
	{"nft-nat", "nftables NAT with conntrack", startNftNAT},
	{"testpmd", "DPDK's testpmd on its AF_XDP port, macswap", startTestpmd},
	{"xdp-tx", "an XDP program swapping MAC addresses: the limit of the path", startSwap},
	{"asavie-large", "the same as asavie, with rings as large as the director's", startForwarder(ForwardLarge)},
	{"af-xdp", "the director's rings without the director, swapping MAC addresses", startForwarder(ForwardRing)},
	{"ipvs", "kernel IPVS, direct routing, persistence", startIPVS},
}

// Opponents lists the names that Options.Opponents takes, and what each of them is.
func Opponents() (names, does []string) {
	for _, o := range opponents {
		names, does = append(names, o.name), append(does, o.does)
	}
	return names, does
}

func findOpponent(name string) (opponent, bool) {
	for _, o := range opponents {
		if o.name == name {
			return o, true
		}
	}
	return opponent{}, false
}

// unavailable is why a machine cannot have an opponent, and what would help.
type unavailable struct{ reason string }

func (u unavailable) Error() string { return u.reason }

func unavailablef(format string, args ...any) error { return unavailable{fmt.Sprintf(format, args...)} }

// running is an opponent at work.
type running struct {
	child *child // nil if it is in the kernel
	mode  string // of its sockets or its program
	// obtained asks for the mode that it has got, once it runs; nil if mode is that.
	obtained func(context.Context) (string, error)
	undo     []func() error
}

// bound is the mode of its sockets or its program, as it has obtained it.
func (r *running) bound(ctx context.Context) (string, error) {
	if r.obtained == nil {
		return r.mode, nil
	}
	return r.obtained(ctx)
}

func (r *running) ended() error {
	if r.child == nil {
		return nil
	}
	return r.child.ended()
}

// last is what it said last, for an error message.
func (r *running) last() string {
	if r.child == nil {
		return ""
	}
	return "\n" + r.child.log.String()
}

// cpuTime is what its process has used so far: its own, and the kernel's at its
// behest, but no interrupts.
func (r *running) cpuTime() time.Duration {
	if r.child == nil {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.child.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// proc_pid_stat(5); the name, in parentheses, may hold spaces.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const user, system, tick = 11, 12, 10 * time.Millisecond
	if len(fields) <= system {
		return 0
	}
	var sum time.Duration
	for _, field := range []string{fields[user], fields[system]} {
		n, _ := strconv.ParseInt(field, 10, 64)
		sum += time.Duration(n) * tick
	}
	return sum
}

func (r *running) stop() error {
	var errs []error
	if r.child != nil {
		errs = append(errs, r.child.stop())
	}
	for i := range r.undo {
		errs = append(errs, r.undo[len(r.undo)-1-i]())
	}
	return errors.Join(errs...)
}
