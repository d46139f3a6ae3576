package measure

import (
	"net"
	"path/filepath"

	"github.com/xlvs/xlvs/internal/nic"
	"github.com/xlvs/xlvs/perf/result"
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
	queues, _ := filepath.Glob("/sys/class/net/" + name + "/queues/rx-*")
	i.Queues = len(queues)
	return i
}
