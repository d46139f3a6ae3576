package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/xlvs/xlvs/control"
)

// expiry lets a client of each family come back before its template's time is
// over and after. The service is scheduled by round robin, so who is scheduled
// anew meets another server.
func expiry(ctx context.Context, b *bed) (saw string, err error) {
	clients := []*client{b.client(newcomer(expiryNetwork, false)), b.client(newcomer(expiryNetwork, true))}
	parts := make([]string, len(clients))
	errs := make([]error, len(clients))
	var wait sync.WaitGroup
	for i, c := range clients {
		wait.Go(func() { parts[i], errs[i] = b.expire(ctx, c) })
	}
	wait.Wait()
	return fmt.Sprintf("timeout %v: %s", shortTimeout, strings.Join(parts, "; ")), firstError(errs)
}

// describe says where a template leads and what keeps it.
func describe(t *control.Template) string {
	if t == nil {
		return "not there"
	}
	return fmt.Sprintf("to %s, for %.1f s, with %d connections", serverAt(t.Destination.Addr()), t.Expires, t.Connections)
}

// expiryNetwork numbers the networks of the clients of expiry, beyond all newcomers'.
const expiryNetwork = 255

func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// expire is expiry for one client.
func (b *bed) expire(ctx context.Context, c *client) (saw string, err error) {
	const visits = 3
	var first string
	var last time.Time // before the last connection, which winds the template up again
	for i := range visits {
		last = time.Now()
		server, err := b.get(ctx, c, overShort)
		if err != nil {
			return "", err
		}
		if i == 0 {
			first = server
		}
		if server != first {
			return "", fmt.Errorf("%s met %s, then %s within the timeout", c.addr, first, server)
		}
	}
	template, err := b.director.template(ctx, markShort, c.addr)
	if err != nil {
		return "", err
	}
	if template == nil || serverAt(template.Destination.Addr()) != first {
		return "", fmt.Errorf("%s met %s, but its template is %s", c.addr, first, describe(template))
	}
	const late = 3 * time.Second // for the connections' own ends and the sweep
	if !await(ctx, shortTimeout+late, func() bool {
		template, err = b.director.template(ctx, markShort, c.addr)
		return err != nil || template == nil
	}) {
		return "", fmt.Errorf("the template of %s lives on %v after its last connection: %s", c.addr, time.Since(last).Round(time.Millisecond), describe(template))
	}
	if err != nil {
		return "", err
	}
	lived := time.Since(last)
	server, err := b.get(ctx, c, overShort)
	const early = 250 * time.Millisecond // two ticks of the tables' clock
	switch {
	case err != nil:
	case lived < shortTimeout-early:
		err = fmt.Errorf("the template of %s was gone %v after its last connection", c.addr, lived)
	case server == first:
		err = fmt.Errorf("%s met %s again: it was not scheduled anew", c.addr, first)
	}
	return fmt.Sprintf("%s met %s %d times, its template went after %.2f s, then it met %s", c.addr, first, visits, lived.Seconds(), server), err
}
