//go:build vmtest

package guest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/internal/testnet"
)

// stage is the two directors that plays are shown on, made once: starting a
// program takes seconds under emulation.
type stage struct {
	kernel     *ipvs
	kernelWire *wire
	ours       *instance
	oursWire   *wire
	plays      int
	// differences has the headings of docs/ipvs.md, and whether a play has shown each.
	differences map[string]bool
}

// testStage is the stage; TestPlays makes it.
var testStage *stage

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{differences: readDifferences(t)}
	s.kernel, s.kernelWire = newIPVS(t)
	ns := namespace(t)
	s.oursWire = newWire(t, ns)
	s.ours = newInstance(t, ns)
	s.ours.configure(t, stageInterfaces, (&setup{}).yaml())
	s.ours.start(t)
	return s
}

const stageInterfaces = "interfaces: [{name: " + directorLink + ", mode: copy}]\nrings: {frames: 1024, rx: 256, tx: 256, fill: 512, completion: 256}"

// play is one script on the stage. It has a virtual address and a mark of its own,
// so that what an earlier play left in the tables does not matter.
type play struct {
	*testing.T
	stage  *stage
	number int
	setup  setup
	vip    netip.Addr
	ipv6   bool
	// apart has the clients that the two directors treat differently, by their
	// addresses: their entries are not compared. Nor are the servers' loads then.
	apart []netip.Addr
}

// begin makes a play of a family and applies its setup, which is given the play's
// virtual address and mark.
func begin(t *testing.T, ipv6 bool, make func(vip netip.Addr, mark uint32) setup) *play {
	t.Helper()
	s := testStage
	s.plays++
	p := &play{T: t, stage: s, number: s.plays, ipv6: ipv6}
	p.vip = address(fmt.Sprintf("198.51.100.%d", p.number))
	if ipv6 {
		p.vip = address(fmt.Sprintf("2001:db8:1::%x", p.number))
		// A local route is not enough for ICMPv6 errors to come from it.
		for _, ns := range []*testnet.Namespace{s.kernel.ns, s.ours.ns} {
			must(t, ns.AddAddr("lo", netip.PrefixFrom(p.vip, 128)))
		}
	}
	t.Cleanup(p.explain)
	p.setup = make(p.vip, p.mark())
	p.apply()
	return p
}

// explain says what may tell why a play failed.
func (p *play) explain() {
	if !p.Failed() {
		return
	}
	s := p.stage.ours.status(p)
	for what, counts := range map[string]map[string]uint64{"xlvs": s.Frames, "its XDP program": s.Steering} {
		maps.DeleteFunc(counts, func(_ string, n uint64) bool { return n == 0 })
		p.Logf("what %s did with frames so far: %v", what, counts)
	}
	lines := strings.Split(p.stage.ours.log(p), "\n")
	p.Logf("the end of its log:\n%s", strings.Join(lines[max(0, len(lines)-12):], "\n"))
}

func (p *play) mark() uint32 { return uint32(1000 + p.number) }

// change edits the setup and brings both directors to it.
func (p *play) change(edit func(*setup)) {
	p.Helper()
	p.setup = p.setup.clone()
	edit(&p.setup)
	p.apply()
	p.compare("after a change of configuration")
}

func (p *play) apply() {
	p.Helper()
	p.stage.kernel.apply(p, p.setup)
	p.stage.ours.configure(p, stageInterfaces, p.setup.yaml())
	p.stage.ours.reload(p)
	p.stage.ours.reachable(p)
}

// server edits a real server of the play's first service.
func (p *play) server(number int, edit func(*server)) {
	p.Helper()
	p.change(func(s *setup) {
		at := slices.IndexFunc(s.services[0].servers, func(r server) bool { return r.number == number })
		edit(&s.services[0].servers[at])
	})
}

// weight sets a real server's weight.
func (p *play) weight(number, weight int) {
	p.Helper()
	p.server(number, func(s *server) { s.weight = weight })
}

// remove removes a real server from the first service; add adds one behind the others.
func (p *play) remove(number int) {
	p.Helper()
	p.change(func(s *setup) {
		v := &s.services[0]
		v.servers = slices.DeleteFunc(v.servers, func(r server) bool { return r.number == number })
	})
}

func (p *play) add(number, weight int) {
	p.Helper()
	p.change(func(s *setup) {
		s.services[0].servers = append(s.services[0].servers, server{number: number, weight: weight})
	})
}

// from begins a packet of a client, which is its last address byte or more
// ("7", "3.7" for another /24), to the play's virtual address.
func (p *play) from(client string) packettest.Packet {
	return packettest.IP(p.client(client), p.vip)
}

// client is a client's address: its last byte, or the third byte too.
func (p *play) client(name string) netip.Addr {
	net, host, ok := strings.Cut(name, ".")
	if !ok {
		net, host = "0", name
	}
	if p.ipv6 {
		return address(fmt.Sprintf("2001:db8:c%d:%s::%s", p.number, net, host))
	}
	return address(fmt.Sprintf("10.%d.%s.%s", 100+p.number, net, host))
}

// goes shows both directors a packet, which must have one outcome in both: the same
// frames but for MAC addresses, or answers that say the same. It compares what the
// directors list then.
func (p *play) goes(what string, packet packettest.Packet, want outcome) {
	p.Helper()
	if got := p.alike(what, packet); got != want {
		p.Errorf("%s: ipvs sends it to %v, expected %v", what, got, want)
	}
	p.compare(what)
}

// alike shows both directors a packet, which must come to the same in both, and returns what
// became of it in IPVS.
func (p *play) alike(what string, packet packettest.Packet) outcome {
	p.Helper()
	kernel, ours := p.show(packet)
	if found := unlike(p, &kernel, &ours); found != "" {
		p.Errorf("%s: %s", what, found)
	}
	return kernel.outcome
}

// answers is goes for a packet that both directors answer in these words (see describe).
func (p *play) answers(what string, packet packettest.Packet, want string) {
	p.Helper()
	p.differentAnswers(what, packet, want, want, "")
}

// differs is goes where the two directors do differently on purpose; why is the
// heading in docs/ipvs.md that says so.
func (p *play) differs(what string, packet packettest.Packet, kernel, ours outcome, why string) {
	p.Helper()
	k, o := p.show(packet)
	p.expect(what, k, o, kernel, ours)
	p.documented(what, why)
	p.compare(what)
}

// differentAnswers is answers where the two answer differently on purpose.
func (p *play) differentAnswers(what string, packet packettest.Packet, kernel, ours, why string) {
	p.Helper()
	k, o := p.show(packet)
	p.expect(what, k, o, returned, returned)
	if got := k.answer(p); got != kernel {
		p.Errorf("%s: ipvs answers %q, expected %q", what, got, kernel)
	}
	if got := o.answer(p); got != ours {
		p.Errorf("%s: xlvs answers %q, expected %q", what, got, ours)
	}
	if kernel != ours {
		p.documented(what, why)
	}
	p.compare(what)
}

func (p *play) expect(what string, gotKernel, gotOurs trace, kernel, ours outcome) {
	p.Helper()
	if gotKernel.outcome == returned {
		p.Logf("%s: ipvs answers %q", what, gotKernel.answer(p))
	}
	if gotKernel.outcome != kernel {
		p.Errorf("%s: ipvs sends it to %v, expected %v", what, gotKernel.outcome, kernel)
	}
	if gotOurs.outcome != ours {
		p.Errorf("%s: xlvs sends it to %v, expected %v (ipvs: %v)", what, gotOurs.outcome, ours, gotKernel.outcome)
	}
}

// show gives a packet to both directors, with the same number.
func (p *play) show(packet packettest.Packet) (kernel, ours trace) {
	p.Helper()
	p.setSerial(p.nextSerial() - 1)
	var both sync.WaitGroup
	both.Go(func() { kernel = p.stage.kernelWire.ask(p, packet) })
	both.Go(func() { ours = p.stage.oursWire.ask(p, packet) })
	both.Wait()
	return kernel, ours
}

// nextSerial is the number of the next packet that is shown.
func (p *play) nextSerial() uint32 {
	return max(p.stage.kernelWire.serial, p.stage.oursWire.serial) + 1
}

func (p *play) setSerial(n uint32) {
	p.stage.kernelWire.serial, p.stage.oursWire.serial = n, n
}

// setApart leaves a client's entries out of comparisons from now on.
func (p *play) setApart(clients ...string) {
	for _, c := range clients {
		p.apart = append(p.apart, p.client(c))
	}
}

// settling is how long the directors may take to list the same: both remove what
// has ended a little later, and a listing made while entries move is not exact. What
// an SCTP client's first INIT made ends meanwhile.
const settling = 8 * time.Second

// compare compares what the directors list of the play's services and clients.
func (p *play) compare(when string) {
	p.Helper()
	found := differences(p.views())
	for deadline := time.Now().Add(settling); len(found) > 0 && time.Now().Before(deadline); {
		time.Sleep(pollInterval)
		found = differences(p.views())
	}
	for _, d := range found {
		p.Errorf("%s: %s", when, d)
	}
}

// views are what the directors list of the play's services and clients.
func (p *play) views() (kernel, ours view) {
	p.Helper()
	service := func(name string) bool {
		return name == fmt.Sprintf("FWM %d", p.mark()) || strings.Contains(name, p.vip.String()+":") || strings.Contains(name, "["+p.vip.String()+"]")
	}
	client := func(a netip.Addr) bool { return p.mine(a) && !slices.Contains(p.apart, a) }
	kernel, ours = p.stage.kernel.view(p).only(client, service), p.stage.ours.view(p).only(client, service)
	for i := range kernel.templates { // see the difference that assured names
		t := kernel.templates[i]
		t.assured = true
		if slices.ContainsFunc(ours.templates, func(o template) bool { return o.String() == t.String() }) {
			kernel.templates[i] = t
		}
	}
	if len(p.apart) > 0 {
		kernel.loads, ours.loads = nil, nil
	}
	return kernel, ours
}

// mine tells whether an address, masked or not, is one of the play's clients'.
func (p *play) mine(a netip.Addr) bool {
	if a.IsUnspecified() { // masked to nothing
		return true
	}
	if p.ipv6 {
		return prefix(fmt.Sprintf("2001:db8:c%d::/48", p.number)).Contains(a)
	}
	return prefix(fmt.Sprintf("10.%d.0.0/16", 100+p.number)).Contains(a)
}

// until waits until a condition holds in what both directors list.
func (p *play) until(what string, holds func(view) bool) {
	p.Helper()
	await(p, what, func() bool {
		kernel, ours := p.views()
		return holds(kernel) && holds(ours)
	})
	p.compare(what)
}
