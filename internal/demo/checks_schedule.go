package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
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
