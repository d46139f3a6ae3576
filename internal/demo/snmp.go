package demo

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/xlvs/xlvs/internal/testnet"
)

// tcpCounters is a namespace's counters of TCP, both families, as RFC 4022
// names them: "OutRsts", "EstabResets".
func tcpCounters(ns *testnet.Namespace) (counters map[string]int, err error) {
	err = ns.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		counters, err = parseTCPCounters(string(text))
		return err
	})
	return counters, err
}

// parseTCPCounters reads the two lines that begin with "Tcp:", names and values.
func parseTCPCounters(text string) (map[string]int, error) {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		counters := map[string]int{}
		for i := 1; i < min(len(names), len(fields)); i++ {
			n, err := strconv.Atoi(fields[i])
			if err != nil {
				return nil, fmt.Errorf("TCP counter %s: %w", names[i], err)
			}
			counters[names[i]] = n
		}
		return counters, nil
	}
	return nil, fmt.Errorf("no TCP counters in %q", text)
}
