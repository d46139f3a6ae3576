package config

import (
	"slices"
	"time"

	"github.com/xlvs/xlvs/sched"
)

// Scheduler is how a service chooses a real server for a new client.
type Scheduler struct {
	Name string // of IPVS
	// Options are what [sched.New] takes, Previous apart. Flags are sorted;
	// what the scheduler has no use for is zero.
	Options sched.Options
}

// The keys of some schedulers only.
const (
	keyIndex      = "mh_table_index"
	keyExpiration = "lblc_expiration"
	keyCache      = "lblc_cache"
)

var schedulerKeys = map[string][]string{
	"mh":    {keyIndex},
	"lblc":  {keyExpiration, keyCache},
	"lblcr": {keyExpiration, keyCache},
}

// scheduler reads the keys about the scheduler.
func (f fields) scheduler(def string) Scheduler {
	s := Scheduler{Name: f.word("scheduler", def, sched.Names()...)}
	s.Options.Flags = f.at("flags").flags(s.Name)
	for _, key := range []string{keyIndex, keyExpiration, keyCache} {
		if f.has(key) && !slices.Contains(schedulerKeys[s.Name], key) {
			f.at(key).errorf("%s has no effect on scheduler %s: remove it", key, s.Name)
		}
	}
	switch s.Name {
	case "mh":
		s.Options.MaglevIndex = int(f.number(keyIndex, 12, 8, 17)) // CONFIG_IP_VS_MH_TAB_INDEX
	case "lblc", "lblcr":
		s.Options.Expiration = f.timeout(keyExpiration, 24*time.Hour) // net.ipv4.vs.lblc_expiration
		s.Options.CacheSize = int(f.number(keyCache, 1<<14, 64, 1<<24))
	}
	return s
}

// flags reads flags of the named scheduler.
func (v value) flags(scheduler string) []string {
	var all []string
	for _, item := range v.items() {
		flag, ok := item.text()
		if !ok {
			continue
		}
		if err := sched.ValidateFlags(scheduler, []string{flag}); err != nil {
			item.errorf("%s", err)
			continue
		}
		all = append(all, flag)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
