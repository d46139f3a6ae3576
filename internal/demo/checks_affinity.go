package demo

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A check works on the bed and says what it saw; an error is why it failed.
type check struct {
	name string
	run  func(ctx context.Context, b *bed) (saw string, err error)
}

// oneServer lets every client ask over HTTP and HTTPS many times. All clients of
// a network begin at the same moment, on different queues: the workers race for
// its template.
func oneServer(ctx context.Context, b *bed) (saw string, err error) {
	const rounds = 15
	var requests atomic.Int64
	err = each(ctx, b.clients, func(ctx context.Context, c *client) error {
		for range rounds {
			for _, over := range []servicePort{overHTTP, overHTTPS} {
				if _, err := b.get(ctx, c, over); err != nil {
					return err
				}
				requests.Add(1)
			}
		}
		return nil
	})
	split := 0
	for _, c := range b.clients {
		if met := b.ledger.serversOf(c.addr, markedWeb); len(met) > 1 {
			split++
			err = fmt.Errorf("client %s met %s", c.addr, strings.Join(met, " and "))
		}
	}
	return fmt.Sprintf("%d clients, %d requests, a new connection each; %d clients met more than one server",
		len(b.clients), requests.Load(), split), err
}

// neighbours looks where the clients of each network went before.
func neighbours(_ context.Context, b *bed) (saw string, err error) {
	var shared []string
	for _, n := range networks {
		for _, prefix := range []netip.Prefix{n.wire.prefix4, n.wire.prefix6} {
			met := strings.Join(b.ledger.serversOfNetwork(prefix, markedWeb), " and ")
			if strings.Contains(met, " ") || met == "" {
				err = fmt.Errorf("the %d clients of %s met %q", len(n.hosts), prefix, met)
			}
			shared = append(shared, prefix.String()+" → "+met)
		}
	}
	return fmt.Sprintf("%d clients in each of %s", len(networks[0].hosts), strings.Join(shared, ", ")), err
}

// ftpSessions runs one FTP session for every client.
func ftpSessions(ctx context.Context, b *bed) (saw string, err error) {
	var sessions, data atomic.Int64
	err = each(ctx, b.clients, func(ctx context.Context, c *client) error {
		seen, err := c.ftpSession(ctx)
		for _, server := range seen.servers() {
			if server != "" {
				b.ledger.met(c.addr, serviceFTP, server)
			}
		}
		if err != nil {
			b.ledger.fail()
			return fmt.Errorf("%s: %w", c.addr, err)
		}
		for i, port := range seen.ports {
			if port < passiveFirst || port > passiveLast {
				return fmt.Errorf("%s: data connection %d goes to port %d, outside the mark", c.addr, i+1, port)
			}
		}
		if met := slices.Compact(slices.Sorted(slices.Values(seen.servers()))); len(met) > 1 {
			return fmt.Errorf("%s: control connection at %s, data connections at %s", c.addr, seen.control, strings.Join(seen.data, ", "))
		}
		sessions.Add(1)
		data.Add(int64(len(seen.data)))
		return nil
	})
	return fmt.Sprintf("%d sessions with LIST, RETR and STOR over %d passive data connections (PASV and EPSV), all at their session's server",
		sessions.Load(), data.Load()), err
}

// echoes lets every client send datagrams from new ports, so that the service,
// which has no persistence, spreads them.
func echoes(ctx context.Context, b *bed) (saw string, err error) {
	const rounds = 3
	var answers atomic.Int64
	err = each(ctx, b.clients, func(ctx context.Context, c *client) error {
		for range rounds {
			server, err := c.echo(ctx)
			if err != nil {
				b.ledger.fail()
				return fmt.Errorf("%s: %w", c.addr, err)
			}
			b.ledger.met(c.addr, serviceEcho, server)
			answers.Add(1)
		}
		return nil
	})
	return fmt.Sprintf("%d datagrams from as many ports came back", answers.Load()), err
}

// ownKernel asks the director's own kernel on the virtual addresses.
func ownKernel(ctx context.Context, b *bed) (saw string, err error) {
	var said []string
	for _, c := range b.clients[:2] { // one of each family
		took, err := c.ping(ctx)
		if err != nil {
			return strings.Join(said, "; "), err
		}
		greeting, err := c.shell(ctx)
		if err != nil {
			return strings.Join(said, "; "), fmt.Errorf("port %d of %s: %w", portSSH, vipFor(c.addr), err)
		}
		if !strings.HasPrefix(greeting, shellGreeting) {
			return strings.Join(said, "; "), fmt.Errorf("port %d of %s greets with %q", portSSH, vipFor(c.addr), greeting)
		}
		said = append(said, fmt.Sprintf("%s answers ping in %v and greets on port %d with %q",
			vipFor(c.addr), took.Round(10*time.Microsecond), portSSH, strings.TrimSpace(greeting)))
	}
	return strings.Join(said, "; "), nil
}
