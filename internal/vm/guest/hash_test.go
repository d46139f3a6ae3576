//go:build vmtest

package guest

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/sched"
	"github.com/xlvs/xlvs/service"
)

// vectorsFile is sched/testdata/ipvs-hash.tsv, and vectorsPort where this kernel's
// own choices are written to, in the same format.
const (
	vectorsFile = "/ipvs-hash.tsv"
	vectorsPort = "/dev/ttyS2"
)

// bench is one setup of a hash scheduler. Weights are as in the file of vectors:
// "3,1" are those of servers 1 and 2, "3>0" is a server added with weight 3 and
// then quiesced.
type bench struct{ scheduler, flags, family, weights string }

func (b bench) name() string {
	return strings.Join([]string{b.scheduler, b.flags, b.family, b.weights}, " ")
}

// byMark tells whether the service is one by mark over all virtual addresses, whose
// servers have no port. mh hashes the port.
func (b bench) byMark() bool { return b.scheduler == "dh" || strings.HasSuffix(b.weights, byMarkToo) }

// byMarkToo ends the weights of benches of a kind that the file does not have.
const byMarkToo = ", by mark"

// vector is one connection: who asks whom, and the server's number, 0 for none.
type vector struct {
	from, to netip.AddrPort
	want     outcome
}

// TestHashVectors shows kernel IPVS and package sched the same connections: those
// of the file that sched's own tests rely on, which says what the kernel chose,
// and others.
func TestHashVectors(t *testing.T) {
	kernel, w := newIPVS(t)
	benches, vectors := readVectors(t)
	own := map[netip.Addr]bool{}
	for _, b := range benches {
		for _, v := range vectors[b] {
			if vip := v.to.Addr(); !own[vip] {
				own[vip] = true
				must(t, kernel.ns.AddLocalRoute(netip.PrefixFrom(vip, vip.BitLen())))
			}
		}
	}
	for _, b := range benches {
		t.Run("file "+b.name(), func(t *testing.T) {
			for i, got := range choices(t, kernel, w, b, vectors[b]) {
				if v := vectors[b][i]; got != v.want {
					t.Fatalf("client %v of %v: this kernel chooses %v, the file says %v", v.from, v.to, got, v.want)
				}
			}
			compareWithSched(t, b, vectors[b])
		})
	}
	out := bufio.NewWriter(openVectorsPort(t))
	defer out.Flush()
	for _, b := range moreBenches() {
		t.Run(b.name(), func(t *testing.T) {
			asked := moreVectors(b)
			for i, got := range choices(t, kernel, w, b, asked) {
				asked[i].want = got
			}
			compareWithSched(t, b, asked)
			if !strings.HasSuffix(b.weights, byMarkToo) {
				writeVectors(out, b, asked)
			}
		})
	}
}

// moreBenches are the setups beyond those of the file.
func moreBenches() (all []bench) {
	for _, family := range []string{"ip4", "ip6"} {
		for _, weights := range []string{"1", "2,3", "5,1,1>0", "3>0,1,2", "1>0,1>0", "0,1,1", "10,20,30,40,50"} {
			for _, flags := range []string{"-", "port", "fallback", "fallback,port"} {
				for _, scheduler := range []string{"sh", "mh"} {
					all = append(all, bench{scheduler, schedulerFlags(scheduler, flags), family, weights})
				}
			}
		}
	}
	// dh has no flags, and weights only tell who is quiesced.
	for _, weights := range []string{"2,3", "3>0,1,2"} {
		all = append(all, bench{"dh", "-", "ip4", weights}, bench{"dh", "-", "ip6", weights})
		all = append(all, bench{"mh", "-", "ip4", weights + byMarkToo}, bench{"sh", "-", "ip4", weights + byMarkToo})
	}
	return all
}

func schedulerFlags(scheduler, flags string) string {
	if flags == "-" {
		return flags
	}
	var names []string
	for _, f := range strings.Split(flags, ",") {
		names = append(names, scheduler+"-"+f)
	}
	return strings.Join(names, ",")
}

// moreVectors are connections for a bench: for dh many virtual addresses, otherwise
// many clients, and with ports some from the same address.
func moreVectors(b bench) (all []vector) {
	const count = 24
	vip, client := "198.51.100.%d", "10.%d.%d.%d"
	if b.family == "ip6" {
		vip, client = "2001:db8:1::%x", "2001:db8:%x:%x::%x"
	}
	for i := range count {
		v := vector{
			from: netip.AddrPortFrom(address(fmt.Sprintf(client, i*7+1, i*53%256, i*101%256)), 5000),
			to:   netip.AddrPortFrom(address(fmt.Sprintf(vip, 1)), 80),
		}
		switch {
		case b.scheduler == "dh":
			v.to = netip.AddrPortFrom(address(fmt.Sprintf(vip, i+1)), 80)
		case strings.Contains(b.flags, "-port") && i%2 == 1:
			v.from = netip.AddrPortFrom(all[i-1].from.Addr(), uint16(1024+i*977))
		}
		all = append(all, v)
	}
	return all
}

// choices asks kernel IPVS, by a packet each. The service keeps no connection.
func choices(t *testing.T, kernel *ipvs, w *wire, b bench, asked []vector) []outcome {
	t.Helper()
	const mark = 7
	service := virtual{
		protocol: "udp", vip: asked[0].to.Addr(), port: asked[0].to.Port(), scheduler: b.scheduler, onePacket: true,
		flags: strings.TrimPrefix(b.flags, "-"), servers: b.servers(t, 0),
	}
	if b.byMark() {
		service.mark, service.ipv6, service.port = mark, b.family == "ip6", 0
	}
	everything := []rule{
		{mark: mark, protocol: "udp", vip: address("0.0.0.0"), ports: []string{"80"}},
		{mark: mark, protocol: "udp", vip: address("::"), ports: []string{"80"}},
	}
	kernel.apply(t, setup{marks: everything}) // without the former bench's service
	kernel.apply(t, setup{marks: everything, services: []virtual{service}})
	service.servers = b.servers(t, 1)
	kernel.apply(t, setup{marks: everything, services: []virtual{service}})
	var got []outcome
	for chunk := range slices.Chunk(asked, 50) {
		var packets []packettest.Packet
		for _, v := range chunk {
			packets = append(packets, packettest.IP(v.from.Addr(), v.to.Addr()).UDP(v.from.Port(), v.to.Port()))
		}
		for _, o := range w.exchange(t, packets...) {
			got = append(got, max(o, nowhere))
		}
	}
	return got
}

// servers are the bench's servers: with step 0 as they are added, with 1 as they
// are in the end.
func (b bench) servers(t *testing.T, step int) (all []server) {
	t.Helper()
	for i, w := range strings.Split(strings.TrimSuffix(b.weights, byMarkToo), ",") {
		history := strings.Split(w, ">")
		n, err := strconv.Atoi(history[min(step, len(history)-1)])
		must(t, err)
		all = append(all, server{number: i + 1, weight: n})
	}
	return all
}

// compareWithSched asks package sched the same.
func compareWithSched(t *testing.T, b bench, asked []vector) {
	t.Helper()
	scheduler := b.sched(t)
	for _, v := range asked {
		real := scheduler.Schedule(&service.Request{Tuple: packet.Tuple{
			Src: packet.AddrFrom(v.from.Addr()), SrcPort: v.from.Port(),
			Dst: packet.AddrFrom(v.to.Addr()), DstPort: v.to.Port(), Protocol: packet.UDP,
		}})
		got := nowhere
		if real != nil {
			got = outcome(serverOf(real.Addr))
		}
		if got != v.want {
			t.Fatalf("client %v of %v: xlvs chooses %v, the kernel %v", v.from, v.to, got, v.want)
		}
	}
}

func (b bench) sched(t *testing.T) service.Scheduler {
	t.Helper()
	var reals []*service.RealServer
	added := b.servers(t, 0)
	for i, s := range b.servers(t, 1) {
		real := &service.RealServer{
			ID: service.MakeID(uint32(s.number), 1), Addr: real4(s.number), Port: 80, Counts: new(service.Counts),
			Weight: int32(s.weight), LastWeight: int32(added[i].weight),
		}
		if b.family == "ip6" {
			real.Addr = real6(s.number)
		}
		if b.byMark() {
			real.Port = 0
		}
		reals = append(reals, real)
	}
	options := sched.Options{}
	if b.flags != "-" {
		options.Flags = strings.Split(b.flags, ",")
	}
	s, err := sched.New(b.scheduler, reals, options)
	must(t, err)
	return s
}

// readVectors reads the file: benches in its order, each with its connections.
func readVectors(t *testing.T) (benches []bench, vectors map[bench][]vector) {
	t.Helper()
	text, err := os.ReadFile(vectorsFile)
	must(t, err)
	vectors = map[bench][]vector{}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		b := bench{f[0], f[1], f[2], f[3]}
		if vectors[b] == nil {
			benches = append(benches, b)
		}
		vectors[b] = append(vectors[b], vector{
			from: netip.MustParseAddrPort(f[4]), to: netip.MustParseAddrPort(f[5]),
			want: outcome(serverOf(netip.MustParseAddrPort(f[6]).Addr())),
		})
	}
	if len(benches) == 0 {
		t.Fatalf("%s has no vectors", vectorsFile)
	}
	return benches, vectors
}

func openVectorsPort(t *testing.T) *os.File {
	t.Helper()
	port, err := os.OpenFile(vectorsPort, os.O_WRONLY, 0)
	must(t, err)
	t.Cleanup(func() { port.Close() })
	fmt.Fprintln(port, "# Choices of kernel IPVS, UDP, direct routing; one new connection a row. dh rows: one firewall mark over all virtual addresses. 3>0: added with weight 3, then quiesced.")
	fmt.Fprintln(port, "# scheduler\tflags\tfamily\tweights (servers .11 .12 ... in this order)\tsource\tvirtual\tchosen real server, - for none")
	return port
}

func writeVectors(out *bufio.Writer, b bench, asked []vector) {
	for _, v := range asked {
		chosen := "-"
		switch {
		case v.want == nowhere:
		case b.family == "ip6":
			chosen = netip.AddrPortFrom(real6(int(v.want)), 80).String()
		default:
			chosen = netip.AddrPortFrom(real4(int(v.want)), 80).String()
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%v\t%v\t%s\n", b.scheduler, b.flags, b.family, b.weights, v.from, v.to, chosen)
	}
}
