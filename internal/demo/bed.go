package demo

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sync/errgroup"
)

// bed is everything that the checks work with: the network, its hosts, the
// director and the clients, and the ledger of what the clients saw.
type bed struct {
	*topology
	paths    paths
	hosts    []*hostProcess
	director *director
	trusted  *x509.CertPool

	clients []*client // of the client networks
	ledger  *ledger

	fresh [2]byte // the newcomers so far, IPv4 and IPv6

	downloads []*download // open from the first check to the last
	outage    outage
}

// newBed builds the network and starts the hosts, but no director yet. Close it.
func newBed(ctx context.Context, name, executable string) (b *bed, err error) {
	b = &bed{paths: paths{name}, ledger: newLedger()}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if err := os.Mkdir(b.paths.dir(), 0o700); err != nil {
		return b, err
	}
	if b.topology, err = buildTopology(name); err != nil {
		return b, err
	}
	if b.trusted, err = makeCertificate(b.paths.dir()); err != nil {
		return b, err
	}
	roles := []string{directorName}
	for _, s := range servers {
		roles = append(roles, s.name)
	}
	for _, role := range roles {
		h, err := startHost(ctx, b.topology, role, executable, b.paths.dir())
		if err != nil {
			return b, err
		}
		b.hosts = append(b.hosts, h)
	}
	for _, n := range networks {
		for _, number := range n.hosts {
			at := leg{n.wire.prefix4, n.wire.prefix6, number}
			b.clients = append(b.clients, b.client(at.addr4()), b.client(at.addr6()))
		}
	}
	b.director = newDirector(b.topology, b.paths, executable)
	return b, nil
}

func (b *bed) client(addr netip.Addr) *client { return newClient(b.topology, addr, b.trusted) }

// newcomers makes clients of networks that no client came from before.
func (b *bed) newcomers(n int, six bool) []*client {
	family := 0
	if six {
		family = 1
	}
	clients := make([]*client, n)
	for i := range clients {
		b.fresh[family]++
		clients[i] = b.client(newcomer(b.fresh[family], six))
	}
	return clients
}

// get asks for a page and notes in the ledger who answered.
func (b *bed) get(ctx context.Context, c *client, over servicePort) (server string, err error) {
	server, err = c.get(ctx, over)
	if err != nil {
		b.ledger.fail()
		return "", fmt.Errorf("%s from %s: %w", over.service, c.addr, err)
	}
	b.ledger.met(c.addr, over.service, server)
	return server, nil
}

// atOnce is how many clients ask at the same time.
const atOnce = 16

// each calls f for every client, several at a time. It goes on after an error
// and returns the first.
func each(ctx context.Context, clients []*client, f func(ctx context.Context, c *client) error) error {
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, c := range clients {
		group.Go(func() error { return f(ctx, c) })
	}
	return group.Wait()
}

// Close stops the director and the hosts, and removes the network and all files.
func (b *bed) Close() error {
	var errs []error
	if b.director != nil && b.director.process != nil {
		errs = append(errs, b.director.process.Stop(stopTimeout))
	}
	for _, h := range b.hosts {
		if err := h.Stop(stopTimeout); err != nil && h.Running() {
			errs = append(errs, err)
		}
	}
	if b.topology != nil {
		errs = append(errs, b.topology.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(b.paths.dir()), os.RemoveAll(b.paths.pin()))...)
}

// keep leaves everything running for the user.
func (b *bed) keep() error {
	var errs []error
	for _, h := range b.hosts {
		errs = append(errs, h.keep())
	}
	return errors.Join(append(errs, b.topology.Release())...)
}
