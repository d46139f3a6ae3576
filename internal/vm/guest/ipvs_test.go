//go:build vmtest

package guest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/xlvs/xlvs/internal/testnet"
)

// ipvs is kernel IPVS as a director in a namespace of its own.
type ipvs struct {
	ns  *testnet.Namespace
	now setup // what it has been told
}

// newIPVS makes a director of kernel IPVS and its wire.
func newIPVS(t testing.TB) (*ipvs, *wire) {
	t.Helper()
	k := &ipvs{ns: namespace(t)}
	w := newWire(t, k.ns)
	k.admin(t, addService(sentinel())...)
	return k, w
}

// apply brings IPVS from the setup it has to another by the fewest changes, as
// keepalived would: what goes on keeps its connections.
func (k *ipvs) apply(t testing.TB, to setup) {
	t.Helper()
	if !slices.EqualFunc(k.now.marks, to.marks, func(a, b rule) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
		k.nft(t, to.marks)
	}
	k.switches(t, &to)
	var lines []string
	for i := range k.now.services {
		if old := &k.now.services[i]; find(&to, old) == nil {
			lines = append(lines, "-D "+old.admin())
		}
	}
	for i := range to.services {
		v := &to.services[i]
		if old := find(&k.now, v); old == nil {
			lines = append(lines, addService(*v)...)
		} else {
			lines = append(lines, editServers(old, v)...)
		}
	}
	k.admin(t, lines...)
	k.now = to.clone()
}

// admin is how ipvsadm names the service.
func (v *virtual) admin() string {
	switch {
	case v.mark != 0 && v.ipv6:
		return fmt.Sprintf("-f %d -6", v.mark)
	case v.mark != 0:
		return fmt.Sprintf("-f %d", v.mark)
	}
	option := map[string]string{"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}[v.protocol]
	return fmt.Sprintf("%s %s", option, netip.AddrPortFrom(v.vip, v.port))
}

func (v *virtual) adminServer(s server) string {
	return fmt.Sprintf("%s -r %s", v.admin(), netip.AddrPortFrom(v.real(s), v.port))
}

func (s server) admin() string {
	return fmt.Sprintf("-g -w %d -x %d -y %d", s.weight, s.upper, s.lower)
}

func find(s *setup, v *virtual) *virtual {
	for i := range s.services {
		if s.services[i].admin() == v.admin() {
			return &s.services[i]
		}
	}
	return nil
}

func addService(v virtual) []string {
	line := "-A " + v.admin() + " -s " + v.scheduler
	if v.flags != "" {
		line += " -b " + v.flags
	}
	if v.persistence > 0 {
		line += fmt.Sprintf(" -p %d", v.persistence)
	}
	if v.mask != "" {
		line += " -M " + v.mask
	}
	if v.onePacket {
		line += " -o"
	}
	return append([]string{line}, editServers(&virtual{}, &v)...)
}

// editServers are the changes from the servers of old to those of v.
func editServers(old, v *virtual) (lines []string) {
	was := func(in []server, n int) int {
		return slices.IndexFunc(in, func(s server) bool { return s.number == n })
	}
	for _, s := range old.servers {
		if was(v.servers, s.number) < 0 {
			lines = append(lines, "-d "+v.adminServer(s))
		}
	}
	for _, s := range v.servers {
		switch i := was(old.servers, s.number); {
		case i < 0:
			lines = append(lines, "-a "+v.adminServer(s)+" "+s.admin())
		case old.servers[i] != s:
			lines = append(lines, "-e "+v.adminServer(s)+" "+s.admin())
		}
	}
	return lines
}

// admin has ipvsadm execute commands, all in one process.
func (k *ipvs) admin(t testing.TB, lines ...string) {
	t.Helper()
	if len(lines) > 0 {
		k.command(t, strings.Join(lines, "\n")+"\n", "ipvsadm", "-R")
	}
}

// nft has the kernel mark packets by rules as xlvs does; first match wins.
func (k *ipvs) nft(t testing.TB, rules []rule) {
	t.Helper()
	var b strings.Builder
	b.WriteString("table inet marks\ndelete table inet marks\ntable inet marks {\n chain prerouting {\n  type filter hook prerouting priority mangle;\n")
	for _, r := range rules {
		family := "ip"
		if r.vip.Is6() {
			family = "ip6"
		}
		if r.vip.IsUnspecified() {
			fmt.Fprintf(&b, "  meta nfproto ipv%c ", "46"[len(family)-2])
		} else {
			fmt.Fprintf(&b, "  %s daddr %s ", family, r.vip)
		}
		if len(r.ports) > 0 {
			fmt.Fprintf(&b, "%s dport { %s } ", r.protocol, strings.Join(r.ports, ", "))
		} else if r.protocol != "any" {
			fmt.Fprintf(&b, "meta l4proto %s ", r.protocol)
		}
		fmt.Fprintf(&b, "meta mark set %d accept\n", r.mark)
	}
	b.WriteString(" }\n}\n")
	k.command(t, b.String(), "nft", "-f", "-")
}

func (k *ipvs) switches(t testing.TB, to *setup) {
	t.Helper()
	set := func(name string, on bool) {
		must(t, k.ns.Sysctl("net.ipv4.vs."+name, map[bool]string{false: "0", true: "1"}[on]))
	}
	set("expire_quiescent_template", to.expireQuiescent)
	set("expire_nodest_conn", to.expireNoDest)
	set("sloppy_tcp", to.sloppy)
	set("sloppy_sctp", to.sloppy)
	if to.udp != k.now.udp {
		udp := to.udp
		if udp == 0 {
			udp = 300
		}
		k.command(t, "", "ipvsadm", "--set", "0", "0", strconv.Itoa(udp))
	}
}

func (k *ipvs) command(t testing.TB, in string, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = strings.NewReader(in)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := k.ns.Do(c.Run)
	if err != nil || out.Len() > 0 {
		t.Fatalf("%s %s: %v %s\n%s", name, strings.Join(args, " "), err, out.String(), in)
	}
}

// view reads /proc/net/ip_vs_conn and ip_vs, which is what ipvsadm -Lnc prints.
func (k *ipvs) view(t testing.TB) view {
	t.Helper()
	var conns, services []byte
	must(t, k.ns.Do(func() (err error) {
		if conns, err = os.ReadFile("/proc/thread-self/net/ip_vs_conn"); err != nil {
			return err
		}
		services, err = os.ReadFile("/proc/thread-self/net/ip_vs")
		return err
	}))
	v := view{loads: map[string]load{}}
	for _, line := range strings.Split(string(conns), "\n")[1:] {
		if f := strings.Fields(line); len(f) >= 9 {
			v.add(t, f)
		}
	}
	service := ""
	for _, line := range strings.Split(string(services), "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) >= 3 && f[0] == "FWM":
			service = fmt.Sprintf("FWM %d", hexNumber(t, f[1]))
		case len(f) >= 3 && (f[0] == "TCP" || f[0] == "UDP" || f[0] == "SCTP"):
			service = f[0] + " " + hexAddrPort(t, f[1]).String()
		case len(f) == 6 && f[0] == "->" && service != "":
			active, _ := strconv.Atoi(f[4])
			inactive, _ := strconv.Atoi(f[5])
			if n := serverOf(hexAddrPort(t, f[1]).Addr()); n != 0 {
				v.loads[fmt.Sprintf("%s server %d", service, n)] = load{active, inactive}
			}
		}
	}
	return v
}

// add is one line of ip_vs_conn: protocol, client, virtual, real server (address and port
// each), state, expiry.
func (v *view) add(t testing.TB, f []string) {
	t.Helper()
	client := netip.AddrPortFrom(hexAddr(t, f[1]), uint16(hexNumber(t, f[2])))
	port := uint16(hexNumber(t, f[4]))
	server := serverOf(hexAddr(t, f[5]))
	expires, err := strconv.ParseFloat(f[8], 64)
	must(t, err)
	named := f[0] + " " + netip.AddrPortFrom(hexAddr(t, f[3]), port).String()
	if f[0] == "IP" { // of a mark, which is written as an address
		named = fmt.Sprintf("FWM %d", hexMark(t, f[3]))
	}
	const void = 0xffff // the server's port in a template that was given up (ip_vs_check_template)
	switch isTemplate := f[7] == "NONE" || f[7] == "ASSURED"; {
	case isTemplate && hexNumber(t, f[6]) != void:
		v.templates = append(v.templates, template{
			of: named, client: client.Addr(), server: server, assured: f[7] == "ASSURED", expires: expires,
		})
	case !isTemplate:
		v.connections = append(v.connections, connection{
			protocol: f[0], client: client, virtual: netip.AddrPortFrom(hexAddr(t, f[3]), port), server: server, state: f[7], expires: expires,
		})
	}
}

func hexNumber(t testing.TB, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 16, 64)
	must(t, err)
	return n
}

// hexAddr reads an address as IPVS prints it: eight hexadecimal digits, or IPv6
// in brackets or without.
func hexAddr(t testing.TB, s string) netip.Addr {
	t.Helper()
	s = strings.Trim(s, "[]")
	if b, err := hex.DecodeString(s); err == nil && len(b) == 4 {
		return netip.AddrFrom4([4]byte(b))
	}
	return address(s)
}

func hexAddrPort(t testing.TB, s string) netip.AddrPort {
	t.Helper()
	at := strings.LastIndex(s, ":")
	if at < 0 {
		t.Fatalf("no address and port: %q", s)
	}
	return netip.AddrPortFrom(hexAddr(t, s[:at]), uint16(hexNumber(t, s[at+1:])))
}

// hexMark is a mark that stands where an address would.
func hexMark(t testing.TB, s string) uint32 {
	t.Helper()
	a := hexAddr(t, s).As16()
	if hexAddr(t, s).Is4() {
		return binary.BigEndian.Uint32(a[12:])
	}
	return binary.BigEndian.Uint32(a[:4])
}
