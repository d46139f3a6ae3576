package e2e

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/control"
)

// expressPolicy is a lan's service with these servers.
func expressPolicy(servers string) string {
	return fmt.Sprintf("services:\n  - {address: %s, protocol: tcp, port: %d, scheduler: rr, servers: %s}\n", lanVIP, lanPort, servers)
}

const bothServers = "[{address: 10.9.0.11}, {address: 10.9.0.12}]"

// withSteering adds keys to a configuration's steering.
func withSteering(config, keys string) string {
	return strings.Replace(config, "steering: {", "steering: {"+keys+", ", 1)
}

// taker makes the port of the switch that the director is at take the frames that
// its XDP program sends, or take them no more.
type taker func(l *lan, on bool) error

// byProgram attaches an XDP program there.
func byProgram(l *lan, on bool) error {
	fd := -1 // none
	if on {
		fd = passAll(l.t).FD()
	}
	return l.network.Do(func() error {
		port, err := netlink.LinkByName(directorPort)
		if err != nil {
			return err
		}
		return netlink.LinkSetXdpFd(port, fd)
	})
}

// byGRO switches GRO on or off there.
func byGRO(l *lan, on bool) error { return l.network.SetGRO(directorPort, on) }

// takers are all of them.
var takers = map[string]taker{"a program": byProgram, "GRO": byGRO}

// newExpressLAN is a lan with an express lane.
func newExpressLAN(t *testing.T, servers ...byte) *lan {
	t.Helper()
	l := newLAN(t, servers...)
	must(t, byGRO(l, true))
	return l
}

// lane is what the director says of the express lane on its interface.
func (l *lan) lane() string {
	l.t.Helper()
	tuning, err := l.control.Tuning(l.t.Context())
	must(l.t, err)
	return tuning.Interfaces[0].Express.String()
}

// awaitLane waits until what the director says of the lane begins so.
func (l *lan) awaitLane(begin string) {
	l.t.Helper()
	eventually(l.t, "the express lane is "+begin, func() error {
		if lane := l.lane(); !strings.HasPrefix(lane, begin) {
			return errors.New(lane)
		}
		return nil
	})
}

// steered is a counter of the XDP program, whether or not a director is there.
func (l *lan) steered(reason bpf.Reason) (sum uint64) {
	l.t.Helper()
	counters, err := ebpf.LoadPinnedMap(filepath.Join(l.pin, "counters"), &ebpf.LoadPinOptions{ReadOnly: true})
	must(l.t, err)
	defer counters.Close()
	var cpus []uint64
	must(l.t, counters.Lookup(uint32(reason), &cpus))
	for _, n := range cpus {
		sum += n
	}
	return sum
}

// carries wants the talk to go on, and by the lane or not.
func (l *lan) carries(t *testing.T, k *talk, byLane bool, when string) {
	t.Helper()
	before := l.steered(bpf.Express)
	k.goesOn(t, when)
	if carried := l.steered(bpf.Express) - before; (carried > 0) != byLane {
		t.Errorf("the express lane carried %d packets %s", carried, when)
	}
}

// TestExpressFollowsThePeer has the peer take frames, and take them no more, under a
// connection.
func TestExpressFollowsThePeer(t *testing.T) {
	t.Parallel()
	for what, takes := range takers {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l := newLAN(t, 11, 12)
			l.start(l.config(expressPolicy(bothServers)))
			wantTexts(t, "at first the lane", l.lane(), "closed", "its peer takes no XDP frames", "GRO", "program")
			k := l.dial().keepTalking(t)
			l.carries(t, k, false, "at first")
			must(t, takes(l, true))
			l.awaitLane("open: its peer takes XDP frames")
			l.carries(t, k, true, "with "+what)
			must(t, takes(l, false))
			k.goesOn(t, "when the peer has just lost "+what)
			l.awaitLane("closed: its peer takes no XDP frames")
			l.carries(t, k, false, "without "+what+" again")
			k.finish(t)
			l.stop()
		})
	}
}

// TestExpressInGenericMode opens the lane where it has to be asked for, and where the
// kernel itself sends, whatever the peer is.
func TestExpressInGenericMode(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 11, 12)
	l.start(strings.Replace(l.config(expressPolicy(bothServers)), "name: eth0", "name: eth0, mode: generic", 1))
	wantTexts(t, "by itself the lane", l.lane(), "closed: in generic mode")
	k := l.dial().keepTalking(t)
	l.carries(t, k, false, "in generic mode")
	wantTexts(t, "asked for, the lane", l.tuneExpress("on", 0), "open: configured")
	l.carries(t, k, true, "in generic mode, when it was asked for")
	k.finish(t)
	l.stop()
}

// tuneExpress requests a setting and returns what becomes of the lane.
func (l *lan) tuneExpress(choice string, trial time.Duration) string {
	l.t.Helper()
	tuning, err := l.control.Tune(l.t.Context(), &control.Settings{Express: &choice}, trial)
	must(l.t, err)
	if now := *tuning.Settings.Express; now != choice {
		l.t.Errorf("asked for %q, the setting is %q", choice, now)
	}
	return tuning.Interfaces[0].Express.String()
}

// TestExpressIsTuned opens and closes the lane under a connection, by requests and
// by reloads.
func TestExpressIsTuned(t *testing.T) {
	t.Parallel()
	l := newExpressLAN(t, 11, 12)
	config := l.config(expressPolicy(bothServers))
	l.start(config)
	k := l.dial().keepTalking(t)
	l.awaitLane("open")
	l.carries(t, k, true, "at first")

	wantTexts(t, "tuned off, the lane", l.tuneExpress("off", 0), "closed: configured")
	l.carries(t, k, false, "when tuned off")
	wantTexts(t, "tuned on, the lane", l.tuneExpress("on", 0), "open")
	l.carries(t, k, true, "when tuned on")
	l.tuneExpress("off", 100*time.Millisecond)
	l.awaitLane("open") // the trial is over
	l.carries(t, k, true, "after a trial without it")

	wantTexts(t, "tuned auto, the lane", l.tuneExpress("auto", 0), "open")
	nonsense := "sometimes"
	if _, err := l.control.Tune(t.Context(), &control.Settings{Express: &nonsense}, 0); err == nil {
		t.Errorf("a request for %q was granted", nonsense)
	} else {
		wantTexts(t, "the refusal", err.Error(), "express", nonsense, "auto", "on", "off")
	}
	if l.reload(withSteering(config, "express: sometimes")) {
		t.Error("a configuration with express: sometimes was taken")
	}
	wantTexts(t, "after refusals the lane", l.lane(), "open")
	l.carries(t, k, true, "after refusals")

	for _, choice := range []string{"off", "on"} {
		if !l.reload(withSteering(config, "express: "+choice)) {
			t.Fatalf("a configuration with express: %s was refused", choice)
		}
		l.carries(t, k, choice == "on", "with the configuration's "+choice)
	}
	k.finish(t)
	l.stop()
}

// TestExpressOutlivesTheDirector kills the director under a connection, which goes on.
func TestExpressOutlivesTheDirector(t *testing.T) {
	t.Parallel()
	l := newExpressLAN(t, 11, 12)
	config := l.config(expressPolicy(bothServers))
	l.start(config)
	k := l.dial().keepTalking(t)
	l.carries(t, k, true, "at first")
	connections := l.connections()

	l.kill()
	l.carries(t, k, true, "while no director is there")
	unanswered := l.steered(bpf.NoSocket)
	late := make(chan error, 1)
	go func() {
		s, err := l.tryDial()
		if err == nil {
			err = s.echo("at last")
		}
		late <- err
	}()
	eventually(t, "a new client's SYN has come to nothing", func() error {
		if l.steered(bpf.NoSocket) == unanswered {
			return errors.New("none came")
		}
		return nil
	})
	l.carries(t, k, true, "beside a client that waits")
	select {
	case err := <-late:
		t.Errorf("a new client was answered while no director was there: %v", err)
	default:
	}

	l.start(config)
	must(t, <-late)
	sameDestinations(t, connections, l.connections(), nil)
	l.carries(t, k, true, "after the restart")
	if forwarded, carried := l.status().Frames["forwarded"], l.steered(bpf.Express); forwarded >= carried {
		t.Errorf("%d frames forwarded since the restart, %d by the lane before it and since", forwarded, carried)
	}
	must(t, l.dial().echo("a new client"))
	k.finish(t)
	eventually(t, "frames and the servers' packets are as many, since the restart", func() error {
		forwarded, packets := l.status().Frames["forwarded"], uint64(0)
		for _, s := range l.services() {
			packets += s.Stats.Packets
		}
		if forwarded != packets {
			return fmt.Errorf("%d frames, %d packets", forwarded, packets)
		}
		return nil
	})
	l.stop()
}

// TestExpressLeavesConnectionsToTheStandIn: with fallback: pass the kernel has the
// connections of a director that is gone, the known ones too.
func TestExpressLeavesConnectionsToTheStandIn(t *testing.T) {
	t.Parallel()
	l := newExpressLAN(t, 11)
	config := withSteering(l.config(expressPolicy("[{address: 10.9.0.11}]")), "fallback: pass")
	l.start(config)
	s := l.dial()
	must(t, s.echo("one"))
	must(t, s.echo("two"))
	l.kill()
	carried := l.steered(bpf.Express)
	if carried == 0 {
		t.Error("the lane carried nothing while the director was there")
	}
	// This kernel knows nothing of the connection, and says so.
	if err := s.echo("three"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the kernel did not reset the connection: %v", err)
	}
	if now := l.steered(bpf.Express); now != carried {
		t.Errorf("the lane carried %d packets while no director was there", now-carried)
	}
	l.start(config)
	must(t, l.dial().echo("after the restart"))
	l.stop()
}

// TestExpressOfAServerThatGoes: the lane carries the connections of a server that is
// drained, none of one that is removed, and those again when it is back.
func TestExpressOfAServerThatGoes(t *testing.T) {
	t.Parallel()
	l := newExpressLAN(t, 11, 12)
	l.start(l.config(expressPolicy(bothServers)))
	k := l.dial().keepTalking(t)
	going, staying := k.server, 11+12-k.server
	l.carries(t, k, true, "with both servers")
	reload := func(servers string) {
		t.Helper()
		if !l.reload(l.config(expressPolicy(servers))) {
			t.Fatal("the reload was refused")
		}
	}
	reload(fmt.Sprintf("[{address: 10.9.0.%d, weight: 0}, {address: 10.9.0.%d}]", going, staying))
	l.carries(t, k, true, "with its server drained")
	reload(fmt.Sprintf("[{address: 10.9.0.%d}]", staying))
	carried := l.steered(bpf.Express)
	gone := l.status().Frames["server_gone"]
	eventually(t, "the connection's packets are dropped", func() error {
		if n := l.status().Frames["server_gone"] - gone; n < 2 {
			return fmt.Errorf("%d of them", n)
		}
		return nil
	})
	if now := l.steered(bpf.Express); now != carried {
		t.Errorf("the lane carried %d packets to a server that was removed", now-carried)
	}
	other := l.dial()
	if other.server != staying {
		t.Errorf("a new client is with server %d", other.server)
	}
	o := other.keepTalking(t)
	l.carries(t, o, true, "to the server that stayed")
	o.finish(t)
	reload(bothServers)
	l.carries(t, k, true, "with its server back")
	k.finish(t)
	l.stop()
}

// TestExpressFollowsAServer gives a server another MAC address under a connection, as
// when its address moves to another machine.
func TestExpressFollowsAServer(t *testing.T) {
	t.Parallel()
	l := newExpressLAN(t, 11)
	l.start(l.config(expressPolicy("[{address: 10.9.0.11}]")))
	k := l.dial().keepTalking(t)
	l.carries(t, k, true, "at first")
	mac := serverMAC(11)
	must(t, l.servers[11].SetMAC("eth0", net.HardwareAddr(mac[:]).String()))
	index, err := l.namespace.Index("eth0")
	must(t, err)
	must(t, l.namespace.Netlink().NeighSet(&netlink.Neigh{
		LinkIndex: index, State: netlink.NUD_REACHABLE, IP: net.IPv4(10, 9, 0, 11), HardwareAddr: mac[:],
	}))
	l.carries(t, k, true, "to another MAC address")
	k.finish(t)
	l.stop()
}

// TestExpressUnderLoad accounts for every frame of a load that workers and lane share,
// where servers are behind the interface that clients come by, and behind another.
func TestExpressUnderLoad(t *testing.T) {
	t.Parallel()
	for what, behind := range map[string]int{"one interface": 0, "another interface": 1} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, 2, 2)
			must(t, b.outside.SetGRO(b.wires[behind].name, true))
			b.start(b.config(loadPolicy(behind)))
			a := load(t, b, b.wires[0], b.wires[behind])
			if a.express < a.arrived/2 {
				t.Errorf("the lane carried %d of %d frames", a.express, a.arrived)
			}
			b.stop()
		})
	}
}
