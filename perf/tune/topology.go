package tune

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/xlvs/xlvs/internal/nic"
)

// CPU is a processor as the kernel counts them.
type CPU struct {
	Number int `json:"cpu"`
	Core   int `json:"core"` // the lowest number of those that share it (SMT)
	Node   int `json:"node"` // NUMA; -1 is not known
}

// readTopology reads where CPUs are from a /sys. What it does not tell is a core of
// its own on no known node.
func readTopology(sys string, cpus []int) (all []CPU) {
	for _, n := range cpus {
		c := CPU{Number: n, Core: n, Node: -1}
		dir := filepath.Join(sys, "devices/system/cpu/cpu"+strconv.Itoa(n))
		if list, err := os.ReadFile(filepath.Join(dir, "topology/thread_siblings_list")); err == nil {
			if siblings := nic.ParseCPUList(strings.TrimSpace(string(list))); len(siblings) > 0 {
				c.Core = slices.Min(siblings)
			}
		}
		nodes, _ := filepath.Glob(filepath.Join(dir, "node[0-9]*"))
		if len(nodes) == 1 {
			if node, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(nodes[0]), "node")); err == nil {
				c.Node = node
			}
		}
		all = append(all, c)
	}
	return all
}

// readNode is the NUMA node of a PCI device, -1 if it is not known.
func readNode(sys, device string) int {
	text, err := os.ReadFile(filepath.Join(sys, "bus/pci/devices", device, "numa_node"))
	if device == "" || err != nil {
		return -1
	}
	node, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return -1
	}
	return node
}
