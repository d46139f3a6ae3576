package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xlvs/xlvs/control"
)

// tally is how many clients met each server.
type tally map[string]int

// String lists all real servers in their order: "one 20, two 10, three 10".
func (t tally) String() string {
	var parts []string
	for _, s := range servers {
		parts = append(parts, fmt.Sprintf("%s %d", s.name, t[s.name]))
	}
	return strings.Join(parts, ", ")
}

// ask lets each client make one request and tallies whom they met.
func (b *bed) ask(ctx context.Context, clients []*client) (tally, error) {
	met := tally{}
	var mu sync.Mutex
	err := each(ctx, clients, func(ctx context.Context, c *client) error {
		server, err := b.get(ctx, c, overHTTP)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		met[server]++
		return nil
	})
	return met, err
}

// spread sends clients of new networks and compares where they went with the
// weights. Weighted round robin is exact over a multiple of the weights' sum;
// two workers that take turns at the same moment may differ by one.
func spread(ctx context.Context, b *bed) (saw string, err error) {
	const count4, count6, slack = 40, 20, 1
	var parts []string
	for _, new := range []struct {
		of      string
		clients []*client
	}{{"/24", b.newcomers(count4, false)}, {"/64", b.newcomers(count6, true)}} {
		met, askErr := b.ask(ctx, new.clients)
		parts = append(parts, fmt.Sprintf("%d new %ss: %s", len(new.clients), new.of, met))
		if askErr != nil {
			return strings.Join(parts, "; "), askErr
		}
		for _, s := range servers {
			want := len(new.clients) * s.weight / sumOfWeights()
			if difference := met[s.name] - want; difference < -slack || difference > slack {
				err = fmt.Errorf("server %s of weight %d met %d of %d new clients, not %d", s.name, s.weight, met[s.name], len(new.clients), want)
			}
		}
	}
	return fmt.Sprintf("weights %s; %s", weights(), strings.Join(parts, "; ")), err
}

func sumOfWeights() (sum int) {
	for _, s := range servers {
		sum += s.weight
	}
	return sum
}

// weights lists the servers' weights: "2, 1, 1".
func weights() string {
	var parts []string
	for _, s := range servers {
		parts = append(parts, fmt.Sprint(s.weight))
	}
	return strings.Join(parts, ", ")
}

// drain gives the first server weight 0 while its clients come back and new
// ones come, and then its weight again.
func drain(ctx context.Context, b *bed) (saw string, err error) {
	const new, back = 24, 8
	drained := servers[0]
	var kept []*client
	for _, c := range b.known() {
		if b.ledger.serversOf(c.addr, markedWeb)[0] == drained.name {
			kept = append(kept, c)
		}
	}
	if err := b.director.reload(ctx, b.director.config.withWeight(drained.name, 0)); err != nil {
		return "", err
	}
	old, err := b.ask(ctx, kept)
	if err != nil {
		return "", err
	}
	fresh, err := b.ask(ctx, slices.Concat(b.newcomers(new/2, false), b.newcomers(new/2, true)))
	if err != nil {
		return "", err
	}
	if err := b.director.reload(ctx, b.director.config.withWeight(drained.name, drained.weight)); err != nil {
		return "", err
	}
	again, err := b.ask(ctx, b.newcomers(back, false))
	switch {
	case err != nil:
	case old[drained.name] != len(kept):
		err = fmt.Errorf("%d of the %d clients of %s went elsewhere", len(kept)-old[drained.name], len(kept), drained.name)
	case fresh[drained.name] != 0:
		err = fmt.Errorf("%d new clients went to %s at weight 0", fresh[drained.name], drained.name)
	case again[drained.name] == 0:
		err = fmt.Errorf("no new client goes to %s, whose weight is %d again", drained.name, drained.weight)
	}
	return fmt.Sprintf("%s at weight 0 kept %d of its %d clients; %d new ones: %s; at weight %d again, %d more: %s",
		drained.name, old[drained.name], len(kept), new, fresh, drained.weight, back, again), err
}

// known is every client that has met a server under the web mark.
func (b *bed) known() []*client {
	var all []*client
	seen := map[string]bool{}
	for v := range b.ledger.copy() {
		if markOf(v.service) == markWeb && !seen[v.client.String()] {
			seen[v.client.String()] = true
			all = append(all, b.client(v.client))
		}
	}
	slices.SortFunc(all, func(x, y *client) int { return x.addr.Compare(y.addr) })
	return all
}

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
