package rtnl

import (
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/testnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tally is a Handler that counts. Holding mu makes the Monitor wait.
type tally struct {
	mu    sync.Mutex
	types map[uint16]int
	lost  int
}

func (c *tally) Messages(messages []syscall.NetlinkMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range messages {
		c.types[m.Header.Type]++
	}
}

func (c *tally) Lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost++
}

func (c *tally) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		done := ok()
		c.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not after 5 s: %s (%v, lost %d times)", what, c.types, c.lost)
		}
	}
}

func follow(t *testing.T, receiveBuffer int) (*testnet.Namespace, *tally, *Monitor) {
	t.Helper()
	ns, err := testnet.New()
	must(t, err)
	t.Cleanup(func() { ns.Close() })
	c := &tally{types: make(map[uint16]int)}
	var m *Monitor
	must(t, ns.Do(func() (err error) {
		m, err = Follow(c, receiveBuffer, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR)
		return err
	}))
	t.Cleanup(m.Close)
	return ns, c, m
}

// The subscription stays in the namespace that it was made in, and ends with Close.
func TestFollowsItsNamespace(t *testing.T) {
	ns, c, m := follow(t, 1<<20)
	must(t, ns.AddAddr("lo", netip.MustParsePrefix("10.0.0.1/32")))
	c.wait(t, "the address is heard of", func() bool { return c.types[unix.RTM_NEWADDR] == 1 })
	must(t, ns.Down("lo"))
	c.wait(t, "the link is heard of", func() bool { return c.types[unix.RTM_NEWLINK] > 0 })
	m.Close()
	m.Close()
	must(t, ns.AddAddr("lo", netip.MustParsePrefix("10.0.0.2/32")))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.types[unix.RTM_NEWADDR] != 1 || c.lost != 0 {
		t.Errorf("after Close: %v, lost %d times", c.types, c.lost)
	}
}

// A Handler that is too slow is told that it missed something, and goes on hearing.
func TestOverflowIsTold(t *testing.T) {
	ns, c, _ := follow(t, 1) // the kernel's minimum
	func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i := range 100 {
			must(t, ns.AddAddr("lo", netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), 32)))
		}
	}()
	c.wait(t, "the loss is told", func() bool { return c.lost > 0 })
	must(t, ns.Down("lo"))
	c.wait(t, "what comes after is heard", func() bool { return c.types[unix.RTM_NEWLINK] > 0 })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
