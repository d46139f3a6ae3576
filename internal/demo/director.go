package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/testnet"
)

// How long the director may take.
const (
	readyTimeout  = 10 * time.Second // from its start, or its reload, to the state asked for
	stopTimeout   = 5 * time.Second
	answerTimeout = 2 * time.Second // for one answer on its control socket
)

// director is the director under test: "xlvs run" in its namespace.
type director struct {
	topology   *topology
	paths      paths
	executable string
	control    *control.Client

	process *testnet.Process
	config  configuration
}

func newDirector(t *topology, p paths, executable string) *director {
	return &director{topology: t, paths: p, executable: executable, control: control.NewClient(p.socket())}
}

// start starts the director with a configuration and waits until it answers on
// its control socket and has found all real servers.
func (d *director) start(ctx context.Context, c configuration) error {
	if err := c.write(d.paths.config(), d.paths); err != nil {
		return err
	}
	log, err := os.OpenFile(logFile(d.paths.dir(), directorLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.executable, "run", "-c", d.paths.config())
	cmd.Stdout, cmd.Stderr = log, log
	if d.process, err = d.topology.start(directorName, cmd); err != nil {
		return err
	}
	d.config = c
	return d.reached(ctx, c)
}

// directorLog is the role under which the director's own log is kept.
const directorLog = "xlvs"

// reload gives the running director another configuration and waits until it
// acts by it.
func (d *director) reload(ctx context.Context, c configuration) error {
	if err := c.write(d.paths.config(), d.paths); err != nil {
		return err
	}
	if err := d.process.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	d.config = c
	return d.reached(ctx, c)
}

// reached waits until the director's services are those of a configuration,
// and their next hops known.
func (d *director) reached(ctx context.Context, c configuration) error {
	var last error
	reached := await(ctx, readyTimeout, func() bool {
		if !d.process.Running() {
			return true
		}
		last = d.differs(ctx, c)
		return last == nil
	})
	switch {
	case !d.process.Running():
		return fmt.Errorf("the director has ended: %w%s", d.process.Wait(), logTail(d.paths.dir(), directorLog))
	case !reached:
		return fmt.Errorf("the director is not ready: %w%s", errors.Join(ctx.Err(), last), logTail(d.paths.dir(), directorLog))
	}
	return nil
}

// differs says what of a configuration the director has not come to yet.
func (d *director) differs(ctx context.Context, c configuration) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	listing, err := d.control.Services(ctx)
	if err != nil {
		return err
	}
	seen, extra := 0, false
	for _, s := range listing.Services {
		extra = extra || s.Mark == markExtra
		for _, real := range s.Servers {
			seen++
			if !real.Reachable {
				return fmt.Errorf("real server %s: %s", real.Address, real.Neighbour)
			}
			want := int32(c.weights[serverAt(real.Address)])
			if s.Mark == markWeb && real.Weight != want {
				return fmt.Errorf("real server %s has weight %d, not %d", real.Address, real.Weight, want)
			}
		}
	}
	if seen == 0 || extra != c.extra {
		return fmt.Errorf("%d real servers are listed, extra service %t, not %t", seen, extra, c.extra)
	}
	return nil
}

// lane is the express lane of the director's interface.
func (d *director) lane(ctx context.Context) (control.Lane, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	tuning, err := d.control.Tuning(ctx)
	if err != nil {
		return control.Lane{}, err
	}
	return tuning.Interfaces[0].Express, nil
}

// serverAt is the name of the real server that has an address.
func serverAt(a netip.Addr) string {
	for _, s := range servers {
		if a == s.leg.addr4() || a == s.leg.addr6() {
			return s.name
		}
	}
	return ""
}

// template is the persistence template of a mark for a client, nil if there is none.
func (d *director) template(ctx context.Context, mark uint32, client netip.Addr) (found *control.Template, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	network := networkOf(client).Addr()
	err = d.control.Templates(ctx, func(t *control.Template) error {
		if t.Mark == mark && t.Client == network {
			copied := *t
			found = &copied
		}
		return nil
	})
	return found, err
}
