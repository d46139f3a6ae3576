package flood

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/xlvs/xlvs/perf/result"
)

// Options say what to measure. The zero values of Director and Tables are defaults.
type Options struct {
	Kinds []string // of floods, of Kinds()
	// Rates are in frames a second; 0 is as many as a core can send.
	Rates []int
	// Links are where the attacker is: "own" for an interface of the director's own,
	// "shared" for the clients' queue.
	Links    []string
	Duration time.Duration // of the flood
	Before   time.Duration // that clients are there already
	After    time.Duration // that new clients are counted when the flood is over
	Long     int           // connections that stay open
	New      int           // new connections a second
	Clients  int           // addresses that they come from, 1 to 200
	Program  string        // the director's
	Tables   string        // what the configuration has under tables, in YAML's braces
	Express  string        // auto, on or off
	// Progress is told what is being done, Each of every flood that is over; nil: nobody is.
	Progress func(step string, done, total int)
	Each     func(*result.FloodRun)
}

// Validate refuses what cannot be measured.
func (o *Options) Validate() error {
	for _, k := range o.Kinds {
		if !slices.Contains(Kinds(), k) {
			return fmt.Errorf("no flood %q: there are %s", k, strings.Join(Kinds(), ", "))
		}
	}
	for _, l := range o.Links {
		if l != ownLink && l != sharedLink {
			return fmt.Errorf("no link %q: there are %s and %s", l, ownLink, sharedLink)
		}
	}
	for _, r := range o.Rates {
		if r < 0 || r > 100_000_000 {
			return fmt.Errorf("rate %d: want 0, which is all that can be sent, to 100000000 frames a second", r)
		}
	}
	switch {
	case len(o.Kinds) == 0 || len(o.Rates) == 0 || len(o.Links) == 0:
		return fmt.Errorf("name a kind, a rate and a link at least")
	case o.Clients < 1 || o.Clients > maxClients:
		return fmt.Errorf("%d client addresses: want 1 to %d", o.Clients, maxClients)
	case o.Long < 0 || o.Long > 10000 || o.New < 0 || o.New > 10000:
		return fmt.Errorf("%d open and %d new connections a second: want 0 to 10000 of each", o.Long, o.New)
	case o.Duration < time.Second || o.Duration > time.Hour:
		return fmt.Errorf("a flood of %v: want 1s to 1h", o.Duration)
	case o.Before < 0 || o.Before > time.Hour || o.After < 0 || o.After > time.Hour:
		return fmt.Errorf("%v before and %v after: want 0 to 1h of each", o.Before, o.After)
	}
	return nil
}

const (
	ownLink    = "own"
	sharedLink = "shared"
	maxClients = 200
)
