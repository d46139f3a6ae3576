package config

import (
	"slices"
	"time"
)

// schedulerNames are the schedulers of IPVS in the order of the documentation.
var schedulerNames = []string{"rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "lblc", "lblcr", "fo", "ovf", "twos"}

// schedulerKinds are those that can be told more than weights.
var schedulerKinds = map[string]struct{ flags, keys []string }{
	"sh":    {flags: []string{"sh-fallback", "sh-port"}},
	"mh":    {flags: []string{"mh-fallback", "mh-port"}, keys: []string{keyIndex}},
	"lblc":  {keys: []string{keyExpiration, keyCache}},
	"lblcr": {keys: []string{keyExpiration, keyCache}},
}

// The keys of one scheduler only.
const (
	keyIndex      = "mh_table_index"
	keyExpiration = "lblc_expiration"
	keyCache      = "lblc_cache"
)

// Scheduler is how a service chooses a real server for a new client.
type Scheduler struct {
	Name  string   // of IPVS
	Flags []string // by their names in IPVS, sorted
	// MaglevIndex is the size of the table of mh: the largest prime below 2 to
	// that power. 0 for other schedulers.
	MaglevIndex int
	// Expiration is how long lblc and lblcr remember a destination, CacheSize how
	// many. 0 for other schedulers.
	Expiration time.Duration
	CacheSize  int
}

// scheduler reads the keys about the scheduler.
func (f fields) scheduler(def string) Scheduler {
	s := Scheduler{Name: f.word("scheduler", def, schedulerNames...)}
	kind := schedulerKinds[s.Name]
	s.Flags = f.at("flags").flags(s.Name, kind.flags)
	for _, key := range []string{keyIndex, keyExpiration, keyCache} {
		if f.has(key) && !slices.Contains(kind.keys, key) {
			f.at(key).errorf("%s has no effect on scheduler %s: remove it", key, s.Name)
		}
	}
	if slices.Contains(kind.keys, keyIndex) {
		s.MaglevIndex = int(f.number(keyIndex, 12, 8, 17)) // CONFIG_IP_VS_MH_TAB_INDEX
	}
	if slices.Contains(kind.keys, keyCache) {
		s.Expiration = f.timeout(keyExpiration, 24*time.Hour) // net.ipv4.vs.lblc_expiration
		s.CacheSize = int(f.number(keyCache, 1<<14, 64, 1<<24))
	}
	return s
}

// flags reads flags of the scheduler, which has the legal ones.
func (v value) flags(scheduler string, legal []string) []string {
	var all []string
	for _, item := range v.items() {
		s, ok := item.text()
		switch {
		case !ok:
		case len(legal) == 0:
			item.errorf("scheduler %s has no flags: remove %s", scheduler, quote(s))
		case !slices.Contains(legal, s):
			item.errorf("scheduler %s has no flag %s: write %s", scheduler, quote(s), either(legal))
		default:
			all = append(all, s)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
