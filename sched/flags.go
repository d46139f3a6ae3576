package sched

import (
	"fmt"
	"strings"
)

// flags are a service's scheduler flags that its scheduler heeds.
type flags struct {
	fallback bool // IP_VS_SVC_F_SCHED1: try other servers if the client's is not available
	port     bool // IP_VS_SVC_F_SCHED2: hash the client's port as well
}

// ValidateFlags reports the first flag in names that the scheduler of that name does not
// take. sh takes sh-fallback and sh-port, mh takes mh-fallback and mh-port. flag-1 and
// flag-2 are other names of the two; every scheduler takes them and flag-3, as in IPVS,
// where those that have no use for a flag ignore it.
func ValidateFlags(name string, names []string) error {
	k, err := kindNamed(name)
	if err != nil {
		return err
	}
	_, err = k.parseFlags(names)
	return err
}

func (k *kind) parseFlags(names []string) (f flags, err error) {
	for _, n := range names {
		switch {
		case n == "flag-1" || n != "" && n == k.fallback:
			f.fallback = true
		case n == "flag-2" || n != "" && n == k.port:
			f.port = true
		case n == "flag-3": // free in IPVS
		default:
			return flags{}, fmt.Errorf("scheduler %s does not take the flag %q: use any of %s", k.name, n, k.flagNames())
		}
	}
	return f, nil
}

func (k *kind) flagNames() string {
	names := []string{"flag-1", "flag-2", "flag-3"}
	if k.fallback != "" {
		names = append([]string{k.fallback, k.port}, names...)
	}
	return strings.Join(names, ", ")
}
