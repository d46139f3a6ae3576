package nic

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// NAPI is one instance of the kernel's polling of an interface: a queue's, as a rule.
type NAPI struct {
	ID  uint32 `json:"id"`
	IRQ uint32 `json:"irq,omitempty"` // 0: none, or the driver does not tell
	// Queues are the receive queues that it polls; none if the driver does not tell.
	Queues []uint32 `json:"queues"`
	// Timers are nil before Linux 6.13, which has them per interface: see InterfaceTimers.
	Timers *Timers `json:"timers,omitempty"`
}

// Timers say how long NAPI holds an interface's interrupts back
// (Documentation/networking/napi.rst).
type Timers struct {
	// DeferHardIRQs is how many times in a row polling may find nothing before
	// interrupts are enabled again. 0 to 2^31-1; 0 is at once.
	DeferHardIRQs uint32 `json:"napi_defer_hard_irqs"`
	// GROFlushTimeout is how long after the last polling the kernel polls again
	// by itself, in nanoseconds. 0 is never.
	GROFlushTimeout uint64 `json:"gro_flush_timeout"`
}

func (t Timers) String() string {
	return fmt.Sprintf("napi_defer_hard_irqs %d, gro_flush_timeout %d ns", t.DeferHardIRQs, t.GROFlushTimeout)
}

// Of linux/netdev.h.
const (
	netdevFamily   = "netdev"
	cmdQueueGet    = 10 // NETDEV_CMD_QUEUE_GET
	cmdNAPIGet     = 11
	cmdNAPISet     = 14 // Linux 6.13
	attrQueueID    = 1  // NETDEV_A_QUEUE_ID
	attrQueueIndex = 2
	attrQueueType  = 3
	attrQueueNAPI  = 4
	attrNAPIIndex  = 1 // NETDEV_A_NAPI_IFINDEX
	attrNAPIID     = 2
	attrNAPIIRQ    = 3
	attrNAPIDefer  = 5
	attrNAPIFlush  = 6
	queueTypeRX    = 0
)

// ReadNAPIs lists the NAPI instances of an interface that is up, by ID. Needs
// Linux 6.8.
func ReadNAPIs(ifindex int) ([]NAPI, error) {
	messages, err := call(netdevFamily, cmdNAPIGet, unix.NLM_F_DUMP, number32(attrNAPIIndex, uint32(ifindex)))
	if err != nil {
		return nil, fmt.Errorf("interface index %d: NAPI: %w", ifindex, err)
	}
	queues, err := call(netdevFamily, cmdQueueGet, unix.NLM_F_DUMP, number32(attrQueueIndex, uint32(ifindex)))
	if err != nil {
		return nil, fmt.Errorf("interface index %d: queues: %w", ifindex, err)
	}
	all := []NAPI{}
	for _, a := range messages {
		n := NAPI{ID: value(a.uint32(attrNAPIID)), IRQ: value(a.uint32(attrNAPIIRQ)), Queues: []uint32{}}
		if flush := a.number(attrNAPIFlush); flush != nil {
			n.Timers = &Timers{value(a.uint32(attrNAPIDefer)), *flush}
		}
		for _, q := range queues {
			if value(q.uint32(attrQueueNAPI)) == n.ID && value(q.uint32(attrQueueType)) == queueTypeRX {
				n.Queues = append(n.Queues, value(q.uint32(attrQueueID)))
			}
		}
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b NAPI) int { return int(a.ID) - int(b.ID) })
	return all, nil
}

// Serves tells whether an instance polls one of some receive queues, as far as
// is known: some drivers do not tell.
func (n *NAPI) Serves(queues []int) bool {
	return len(n.Queues) == 0 || slices.ContainsFunc(n.Queues, func(q uint32) bool { return slices.Contains(queues, int(q)) })
}

// SetNAPI sets the timers of one NAPI instance. Needs Linux 6.13 and
// CAP_NET_ADMIN. ENOENT is an instance that is gone.
func SetNAPI(id uint32, t Timers) error {
	_, err := call(netdevFamily, cmdNAPISet, unix.NLM_F_ACK, number32(attrNAPIID, id),
		number32(attrNAPIDefer, t.DeferHardIRQs),
		nl.NewRtAttr(attrNAPIFlush, binary.NativeEndian.AppendUint64(nil, t.GROFlushTimeout)))
	if err != nil {
		return fmt.Errorf("NAPI instance %d: set timers: %w", id, err)
	}
	return nil
}

func number32(kind int, v uint32) *nl.RtAttr {
	return nl.NewRtAttr(kind, binary.NativeEndian.AppendUint32(nil, v))
}
