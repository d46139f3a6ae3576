package measure

import (
	"net"

	"github.com/xlvs/xlvs/internal/nic"
	"github.com/xlvs/xlvs/perf/result"
	"github.com/xlvs/xlvs/ring"
)

// Interface describes a network interface of the calling thread's namespace. What the
// system does not tell is left out.
func Interface(name string) result.Interface {
	i := result.Interface{Name: name}
	if found, err := net.InterfaceByName(name); err == nil {
		i.MTU = found.MTU
	}
	if driver, err := nic.ReadDriver(name); err == nil {
		i.Driver = driver.Name
	}
	if queues, err := ring.Queues(name); err == nil {
		i.Queues = queues
	}
	return i
}
