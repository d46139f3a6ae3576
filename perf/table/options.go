package table

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Options says what to measure. The zero value of a field is its default.
type Options struct {
	Entries  []int         // sizes; default 4096 and 1048576
	Load     float64       // entries as a share of what the tables are made for, above 0, at most 1; default 1
	Rounds   int           // default 5
	Duration time.Duration // of one table's lookups of one kind in one round; default 50 ms
	Clients  int           // that open two connections at once; default 200000
	Cores    int           // default all
	Names    []string      // which tables; default all, xlvs always among them
}

// MaxEntries is the largest size.
const MaxEntries = 1 << 27

// Names are the tables there are, in the order of the results.
func Names() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// Validate tells whether the options can be measured.
func (o Options) Validate() error {
	_, err := o.withDefaults()
	return err
}

// withDefaults fills in what was left out and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	if len(o.Entries) == 0 {
		o.Entries = []int{4096, 1 << 20}
	}
	if o.Load == 0 {
		o.Load = 1
	}
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	if o.Duration == 0 {
		o.Duration = 50 * time.Millisecond
	}
	if o.Clients == 0 {
		o.Clients = 200_000
	}
	if o.Cores == 0 {
		o.Cores = runtime.GOMAXPROCS(0)
	}
	for _, n := range o.Entries {
		if n < 1 || n > MaxEntries {
			return o, fmt.Errorf("%d entries: want 1 to %d", n, MaxEntries)
		}
	}
	for _, name := range o.Names {
		if !slices.Contains(Names(), name) {
			return o, fmt.Errorf("no table %q: there are %s", name, strings.Join(Names(), ", "))
		}
	}
	switch {
	case !(o.Load > 0 && o.Load <= 1):
		return o, fmt.Errorf("load %v: want a share above 0, at most 1", o.Load)
	case o.Rounds < 1:
		return o, fmt.Errorf("%d rounds: want at least 1", o.Rounds)
	case o.Duration < 0:
		return o, fmt.Errorf("slices of %v: want more than 0", o.Duration)
	case o.Clients < 1 || o.Clients > MaxEntries:
		return o, fmt.Errorf("%d clients: want 1 to %d", o.Clients, MaxEntries)
	case o.Cores < 1 || o.Cores > runtime.NumCPU():
		return o, fmt.Errorf("%d cores: the machine has %d", o.Cores, runtime.NumCPU())
	}
	return o, nil
}

// chosen are the kinds of table to measure, xlvs first.
func (o *Options) chosen() []kind {
	if len(o.Names) == 0 {
		return kinds
	}
	return slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool {
		return k.name != ours && !slices.Contains(o.Names, k.name)
	})
}
