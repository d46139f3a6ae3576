package vip

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/testnet"
)

func TestAddsAnnouncesAndRemoves(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for _, ip := range vips {
		b.believe(ip, elsewhere)
	}
	m := b.open()
	must(t, m.Set(vips, "eth0", []string{"eth0"}))
	b.wantOn("eth0", held...)
	b.waitBelief(b.directorMAC())
	must(t, m.Close())
	b.wantOn("eth0", own...)
	must(t, m.Close())
	if err := m.Set(vips, "eth0", nil); err == nil {
		t.Error("a closed manager takes addresses")
	}
	b.wantOn("eth0", own...)
}

// A real process is killed, so that nothing of it can help: only the mark.
func TestAddressesOfAKilledRunAreOwnedAgain(t *testing.T) {
	t.Parallel()
	for _, next := range []struct {
		name string
		vips []netip.Addr
		want []string
	}{
		{"same addresses", vips, held},
		{"one fewer", vips[1:], []string{"10.0.0.1/24", "2001:db8::10/128", "fd00::1/64"}},
		{"none", nil, own},
	} {
		t.Run(next.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.killedRun()
			b.wantOn("eth0", held...)
			m := b.open()
			must(t, m.Set(next.vips, "eth0", nil))
			b.wantOn("eth0", next.want...)
			must(t, m.Close())
			b.wantOn("eth0", own...)
		})
	}
}

// killedRun has a process hold the addresses, and kills it.
func (b *bed) killedRun() {
	b.t.Helper()
	run := exec.Command("/proc/self/exe")
	run.Env = append(os.Environ(), holdEnv+"=1")
	out, err := run.StdoutPipe()
	must(b.t, err)
	must(b.t, b.director.Do(run.Start))
	line, err := bufio.NewReader(out).ReadString('\n')
	run.Process.Kill()
	run.Wait()
	if err != nil || line != "holding\n" {
		b.t.Fatalf("the run said %q, %v", line, err)
	}
}

func TestLeavesOthersAddressesAlone(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	must(t, b.director.AddAddr("eth0", netip.MustParsePrefix("203.0.113.10/32")))
	must(t, b.director.AddAddr("lo", netip.MustParsePrefix("2001:db8::10/128")))
	m := b.open()
	must(t, m.Set(vips, "eth0", nil))
	b.wantOn("eth0", held...)
	must(t, m.Close())
	b.wantOn("eth0", "10.0.0.1/24", "203.0.113.10/32", "fd00::1/64")
	b.wantOn("lo", "2001:db8::10/128")
}

func TestMovesToAnotherInterface(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	m := b.open()
	must(t, m.Set(vips, "lo", []string{"eth0"}))
	b.wantOn("lo", "2001:db8::10/128", "203.0.113.10/32")
	must(t, m.Set(vips, "eth0", []string{"eth0"}))
	b.wantOn("lo")
	b.wantOn("eth0", held...)
	err := m.Set(vips, "eth9", []string{"eth0"})
	if err == nil || !strings.Contains(err.Error(), "eth9") {
		t.Fatalf("an interface that is missing: %v", err)
	}
	b.wantOn("eth0", held...) // better there than nowhere
}

func TestPutsBackWhatOthersRemove(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	m := b.open()
	must(t, m.Set(vips, "eth0", nil))
	for _, ip := range vips {
		must(t, b.director.DeleteAddr("eth0", hostPrefix(ip)))
	}
	b.eventuallyOn("eth0", held...)
}

func TestFollowsAnInterfaceMadeAnew(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	m := b.open()
	must(t, m.Set(vips, "eth0", []string{"eth0"}))
	must(t, b.director.Delete("eth0"))
	b.connect()
	b.eventuallyOn("eth0", held...)
	must(t, m.Close())
	b.wantOn("eth0", own...)
}

func TestAnnouncesAgain(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]func(*bed){
		"when the link comes up": func(b *bed) {
			must(b.t, b.director.Down("eth0"))
			for _, ip := range vips {
				b.believe(ip, elsewhere)
			}
			must(b.t, b.director.Up("eth0"))
		},
		"with a new MAC address": func(b *bed) {
			for _, ip := range vips {
				b.believe(ip, elsewhere)
			}
			must(b.t, b.director.SetMAC("eth0", "02:00:00:00:00:01"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.t = t
			m := b.open()
			must(t, m.Set(vips, "eth0", []string{"eth0"}))
			// The first announcements must be over, or they would do.
			eventually(t, func() (bool, string) { return m.quiet(), "still announcing" })
			event(b)
			b.waitBelief(b.directorMAC())
		})
	}
}

// quiet reports whether nothing is left to be repeated.
func (m *Manager) quiet() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.pending) == 0
}

func TestOldKernelsKeepNoMark(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	m := b.open()
	m.host.mark = 0 // as if the kernel had dropped it
	must(t, m.Set(vips, "eth0", nil))
	must(t, m.Set(vips[:1], "eth0", nil))
	b.wantOn("eth0", "10.0.0.1/24", "203.0.113.10/32", "fd00::1/64")
	must(t, m.Close())
	b.wantOn("eth0", own...)
}

func TestRefusesWhatCannotBeShared(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	m := b.open()
	bad := []string{"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1", "fe80::1", "fe80::1%eth0"}
	list := append([]netip.Addr{{}}, vips...)
	for _, s := range bad {
		list = append(list, netip.MustParseAddr(s))
	}
	err := m.Set(list, "eth0", nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, s := range bad {
		if !strings.Contains(err.Error(), "virtual address "+s+":") {
			t.Errorf("%s is not named in: %v", s, err)
		}
	}
	b.wantOn("eth0", own...) // checked before anything is done
}

// No duplicate address detection, which would hold an IPv6 address back: the
// kernel answers for it as soon as Set returns. An IPv4 address may be on lo.
func TestKernelAnswersForThem(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	must(t, b.director.Sysctl("net.ipv6.conf.eth0.accept_dad", "1"))
	m := b.open()
	for ip, iface := range map[netip.Addr]string{vip4: "lo", vip6: "eth0"} {
		must(t, m.Set([]netip.Addr{ip}, iface, nil))
		a := b.find(iface, ip)
		if a.Flags&unix.IFA_F_TENTATIVE != 0 {
			t.Errorf("%s is tentative", ip)
		}
		if onLo := iface == "lo"; onLo != (a.Scope == unix.RT_SCOPE_HOST) {
			t.Errorf("%s on %s has scope %d", ip, iface, a.Scope)
		}
		b.ask(ip)
		eventually(t, func() (bool, string) {
			got := b.believes(ip)
			return got == b.directorMAC(), fmt.Sprintf("the client finds %s at %q", ip, got)
		})
	}
}

// find is an address of one of the director's interfaces.
func (b *bed) find(iface string, ip netip.Addr) netlink.Addr {
	b.t.Helper()
	link, err := b.director.Netlink().LinkByName(iface)
	must(b.t, err)
	list, err := b.director.Netlink().AddrList(link, netlink.FAMILY_ALL)
	must(b.t, err)
	for _, a := range list {
		if a.IP.Equal(ip.AsSlice()) {
			return a
		}
	}
	b.t.Fatalf("%s is not on %s", ip, iface)
	return netlink.Addr{}
}

// ask makes the client's kernel solicit ip.
func (b *bed) ask(ip netip.Addr) {
	b.t.Helper()
	index, err := b.client.Index("eth0")
	must(b.t, err)
	must(b.t, b.client.Netlink().NeighAdd(&netlink.Neigh{LinkIndex: index, IP: ip.AsSlice(), Flags: netlink.NTF_USE}))
}

// The director's own connections must not come from a virtual address.
func TestIsNoSourceAddress(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	m := b.open()
	near := netip.MustParseAddr("fd00::10") // as near to the client as fd00::1 is
	must(t, m.Set([]netip.Addr{near}, "eth0", nil))
	if got := sourceTowards(t, b.director, "[fd00::2]:9"); got != "fd00::1" {
		t.Errorf("the director speaks as %s", got)
	}
}

func sourceTowards(t *testing.T, ns *testnet.Namespace, to string) (source string) {
	t.Helper()
	must(t, ns.Do(func() error {
		c, err := net.Dial("udp", to)
		if err != nil {
			return err
		}
		defer c.Close()
		source, _, err = net.SplitHostPort(c.LocalAddr().String())
		return err
	}))
	return source
}
