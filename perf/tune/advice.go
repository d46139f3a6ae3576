package tune

import (
	"fmt"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
)

// Severity is how much a piece of advice matters.
type Severity string

// The severities.
const (
	Warning Severity = "warning" // frames are lost, or much speed is
	Note    Severity = "note"    // worth knowing; it may be meant so
)

// Advice is one thing that is unwise, and what to do about it.
type Advice struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject"` // an interface, "worker 3" or "director"
	Why      string   `json:"why"`
	Do       string   `json:"do"`
}

// rule looks for one thing that is unwise. It is a function of facts alone.
type rule struct {
	name  string
	check func(f *Facts, say sayer)
}

// sayer notes what a rule found.
type sayer func(severity Severity, subject, why, do string)

// rules are all there are, in the order that advice is given.
var rules = []rule{
	{"missing-socket", missingSocket},
	{"unserved-queues", unservedQueues},
	{"hash-table", hashTable},
	{"hash-fields", hashFields},
	{"fill-ring", fillRing},
	{"hardware-ring", hardwareRing},
	{"mtu", mtu},
	{"merged-frames", mergedFrames},
	{"vlan-stripping", vlanStripping},
	{"partial-checksums", partialChecksums},
	{"copy-mode", copyMode},
	{"generic-mode", genericMode},
	{"express-lane", expressLane},
	{"transmit-budget", transmitBudget},
	{"shared-cpu", sharedCPU},
	{"interrupts", interrupts},
	{"irqbalance", irqbalance},
	{"spare-cpu", spareCPU},
	{"waiting-worker", waitingWorker},
	{"gomaxprocs", gomaxprocs},
	{"napi-left-over", napiLeftOver},
	{"napi-missing", napiMissing},
	{"napi-timeout", napiTimeout},
	{"coalescing", coalescing},
	{"trial", onTrial},
}

// Rules are the names of all rules, in the order that advice is given.
func Rules() []string {
	var names []string
	for _, r := range rules {
		names = append(names, r.name)
	}
	return names
}

// Advise says what is unwise.
func Advise(f *Facts) []Advice {
	all := []Advice{}
	for _, r := range rules {
		r.check(f, func(severity Severity, subject, why, do string) {
			all = append(all, Advice{r.name, severity, subject, why, do})
		})
	}
	return all
}

// each calls check with every interface: as the director uses it, and as the
// kernel describes it.
func (f *Facts) each(check func(*control.InterfaceTuning, *nic.Interface)) {
	for i := range f.Director.Interfaces {
		used := &f.Director.Interfaces[i]
		if host := f.host(used.Name); host != nil {
			check(used, host)
		}
	}
}

func driver(i *nic.Interface) string {
	if i.Driver == nil {
		return ""
	}
	return i.Driver.Name
}

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s", one)
	}
	return fmt.Sprintf("%d %s", n, many)
}
