package flood

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/testnet"
)

// The bed's addresses.
const (
	webPort = 80
	dnsPort = 53
)

var (
	vip4     = netip.MustParseAddr("10.77.200.1")
	vip6     = netip.MustParseAddr("fd77::c8:1")
	director = netip.MustParsePrefix("10.77.0.2/16")
	own      = netip.MustParsePrefix("10.78.0.2/24") // of the director at the attacker's own link
	servers  = [...]byte{11, 12, 13}
)

// server4 and server6 are a real server's addresses, by its number.
func server4(n byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 0, n}), 16)
}
func server6(n byte) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("fd77::%d/64", n))
}

// client4 is one of the clients' addresses, from 0.
func client4(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 1, byte(1 + n)}), 16)
}

// bed is the namespaces, the real servers and the director's process.
type bed struct {
	network, client, inside, attacker *testnet.Namespace
	dir                               string
	process                           *testnet.Process
	undo                              []func() error
}

// newBed makes everything but the director's process.
func newBed(link string, clients int) (b *bed, err error) {
	b = &bed{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.dir, err = os.MkdirTemp("", "xlvs-flood"); err != nil {
		return b, err
	}
	b.undo = append(b.undo, func() error { return os.RemoveAll(b.dir) })
	if b.network, err = b.namespace(); err != nil {
		return b, err
	}
	if err := b.network.AddBridge("br0"); err != nil {
		return b, err
	}
	if err := b.addClients(clients); err != nil {
		return b, err
	}
	if b.inside, err = b.join("director", director); err != nil {
		return b, err
	}
	if err := b.inside.AddAddr("eth0", netip.MustParsePrefix("fd77::2/64"),
		netip.PrefixFrom(vip4, 32), netip.PrefixFrom(vip6, 128)); err != nil {
		return b, err
	}
	for _, n := range servers {
		if err := b.addServer(n); err != nil {
			return b, fmt.Errorf("server %d: %w", n, err)
		}
	}
	return b, b.addAttacker(link)
}

func (b *bed) namespace() (*testnet.Namespace, error) {
	ns, err := testnet.New()
	if err == nil {
		b.undo = append(b.undo, ns.Close)
	}
	return ns, err
}

// join makes a host at the switch.
func (b *bed) join(name string, addr netip.Prefix) (*testnet.Namespace, error) {
	ns, err := b.namespace()
	if err != nil {
		return nil, err
	}
	return ns, errors.Join(
		testnet.Pair(testnet.Veth{Namespace: ns, Name: "eth0"}, testnet.Veth{Namespace: b.network, Name: name}),
		b.network.Plug(name, "br0"), ns.WireFrames("eth0"), b.network.SetGRO(name, true), ns.AddAddr("eth0", addr))
}

func (b *bed) addClients(n int) (err error) {
	if b.client, err = b.join("client", client4(0)); err != nil {
		return err
	}
	for i := 1; i < n; i++ {
		if err := b.client.AddAddr("eth0", client4(i)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bed) addServer(n byte) error {
	ns, err := b.join(fmt.Sprintf("server%d", n), server4(n))
	if err != nil {
		return err
	}
	err = errors.Join(
		ns.AddAddr("eth0", server6(n)), ns.Sysctl("net/ipv4/conf/all/arp_ignore", "1"),
		ns.Sysctl("net/ipv4/conf/all/arp_announce", "2"), ns.Sysctl("net/core/somaxconn", "4096"),
		ns.AddAddr("lo", netip.PrefixFrom(vip4, 32), netip.PrefixFrom(vip6, 128)))
	if err != nil {
		return err
	}
	// What servers answer to invented addresses goes nowhere.
	for _, spoofed := range []string{"45.0.0.0/8", "2001:db8:bad::/48"} {
		_, nowhere, err := net.ParseCIDR(spoofed)
		if err == nil {
			err = ns.Netlink().RouteAdd(&netlink.Route{Dst: nowhere, Type: unix.RTN_BLACKHOLE})
		}
		if err != nil {
			return fmt.Errorf("route %s: %w", spoofed, err)
		}
	}
	stop, err := serve(ns, n)
	if err == nil {
		b.undo = append(b.undo, stop)
	}
	return err
}

// addAttacker gives the attacker a link of its own to the director, or a port of the switch.
func (b *bed) addAttacker(link string) (err error) {
	if link == sharedLink {
		b.attacker, err = b.join("attacker", netip.MustParsePrefix("10.77.2.1/16"))
		return err
	}
	if b.attacker, err = b.namespace(); err != nil {
		return err
	}
	return errors.Join(
		testnet.Pair(testnet.Veth{Namespace: b.attacker, Name: "eth0"}, testnet.Veth{Namespace: b.inside, Name: "eth1"}),
		b.attacker.SetGRO("eth0", true), b.inside.AddAddr("eth1", own))
}

// target is where the attacker's frames go, and from: MAC addresses.
func (b *bed) target(link string) (from, to net.HardwareAddr, err error) {
	if from, err = b.attacker.MAC("eth0"); err != nil {
		return nil, nil, err
	}
	name := "eth0"
	if link == ownLink {
		name = "eth1"
	}
	to, err = b.inside.MAC(name)
	return from, to, err
}

const configuration = `
interfaces: [{name: eth0}%s]
control: {socket: %s}
steering: {express: %s}
%s
marks:
  - mark: 80
    match: {protocol: tcp, destination: [%s, "%s"]}
services:
  - fwmark: 80
    scheduler: wlc
    persistence: {timeout: 6m, mask: 32, mask6: 128}
    servers: [{address: 10.77.0.11}, {address: 10.77.0.12}, {address: 10.77.0.13},
              {address: "fd77::11"}, {address: "fd77::12"}, {address: "fd77::13"}]
  - address: %s
    protocol: udp
    port: 53
    scheduler: rr
    servers: [{address: 10.77.0.11}, {address: 10.77.0.12}, {address: 10.77.0.13}]
`

// startDirector starts the director and waits until it answers.
func (b *bed) startDirector(ctx context.Context, link string, o *Options) error {
	second, tables := "", ""
	if link == ownLink {
		second = ", {name: eth1}"
	}
	if o.Tables != "" {
		tables = "tables: " + o.Tables
	}
	file := filepath.Join(b.dir, "director.yaml")
	text := fmt.Sprintf(configuration, second, b.socket(), o.Express, tables, vip4, vip6, vip4)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	log, err := os.Create(b.log())
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(o.Program, "run", "-c", file, "--ephemeral")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	process, err := b.inside.Start(cmd)
	if err != nil {
		return err
	}
	b.process = process
	const patience = 10 * time.Second
	b.undo = append(b.undo, func() error { return process.Stop(patience) })
	for deadline := time.Now().Add(patience); ; {
		if _, err = b.status(ctx); err == nil {
			return nil
		}
		if !process.Running() || time.Now().After(deadline) || ctx.Err() != nil {
			text, _ := os.ReadFile(b.log())
			return fmt.Errorf("the director does not answer: %w\n%s", err, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (b *bed) socket() string { return filepath.Join(b.dir, "xlvs.sock") }
func (b *bed) log() string    { return filepath.Join(b.dir, "director.log") }

// warnings are the lines of the director's log that are not for information only.
func (b *bed) warnings() (lines []string, err error) {
	text, err := os.ReadFile(b.log())
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "WARN") || strings.Contains(line, "ERROR") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines, err
}

func (b *bed) status(ctx context.Context) (*control.Status, error) {
	return control.NewClient(b.socket()).Status(ctx)
}

// close takes everything away, last first.
func (b *bed) close() error {
	var errs []error
	for i := len(b.undo) - 1; i >= 0; i-- {
		errs = append(errs, b.undo[i]())
	}
	b.undo = nil
	return errors.Join(errs...)
}
