package nic

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// RSS is how an interface spreads received frames over its queues.
type RSS struct {
	Function string `json:"function,omitempty"` // of the hash
	// Queues are those that the indirection table names, rising, and Entries is its length.
	Queues  []uint32 `json:"queues"`
	Entries int      `json:"entries"`
	// Fields are what is hashed, by kind of packet (tcp4, udp6), as far as the
	// kernel tells: Linux 6.17 and later.
	Fields map[string][]string `json:"fields,omitempty"`
}

// Of enum ethtool_a_rss and ethtool_a_flow (linux/ethtool_netlink_generated.h)
// and of linux/ethtool.h.
const (
	attrRSSHeader   = 1
	attrRSSFunction = 3
	attrRSSTable    = 4
	attrRSSFields   = 8
)

var (
	hashFunctions = []string{"toeplitz", "xor", "crc32"} // ETH_RSS_HASH_*_BIT
	flowKinds     = map[uint16]string{2: "ip4", 3: "ip6", 4: "tcp4", 5: "tcp6", 6: "udp4", 7: "udp6", 8: "sctp4", 9: "sctp6"}
	// hashFields are RXH_* by bit.
	hashFields = []string{1: "mac", 2: "vlan", 3: "protocol", 4: "source", 5: "destination", 6: "source port", 7: "destination port"}
)

// ReadRSS asks how an interface spreads frames over its queues.
func ReadRSS(name string) (*RSS, error) {
	a, err := ethtool(unix.ETHTOOL_MSG_RSS_GET, attrRSSHeader, name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: receive hashing: %w", name, err)
	}
	return parseRSS(a), nil
}

func parseRSS(a attrs) *RSS {
	r := &RSS{Queues: []uint32{}}
	function := value(a.uint32(attrRSSFunction))
	for bit, name := range hashFunctions {
		if function&(1<<bit) != 0 {
			r.Function = name
		}
	}
	table, _ := a.get(attrRSSTable)
	for r.Entries = 0; len(table) >= 4; table = table[4:] {
		r.Queues = append(r.Queues, binary.NativeEndian.Uint32(table))
		r.Entries++
	}
	slices.Sort(r.Queues)
	r.Queues = slices.Compact(r.Queues)
	if fields, ok := a.get(attrRSSFields); ok {
		r.Fields = map[string][]string{}
		fields.all(func(kind uint16, _ attrs) {
			if name := flowKinds[kind]; name != "" {
				r.Fields[name] = hashed(value(fields.number(kind)))
			}
		})
	}
	return r
}

// hashed names the bits of a set of RXH_*.
func hashed(bits uint64) []string {
	names := []string{}
	for bit, name := range hashFields {
		if name != "" && bits&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	return names
}
