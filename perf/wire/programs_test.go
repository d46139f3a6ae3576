package wire

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

const (
	xdpDrop = 1
	xdpPass = 2
	xdpTX   = 3
)

func testPrograms(t *testing.T) *wireObjects {
	t.Helper()
	var programs wireObjects
	if err := loadWireObjects(&programs, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { programs.Close() })
	return &programs
}

func testTraffic(size, flows int) Traffic {
	return Traffic{
		Size: size, Flows: flows, VIP: netip.MustParseAddrPort("198.51.100.10:80"),
		Source: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Destination: net.HardwareAddr{2, 0, 0, 0, 0, 2},
	}
}

// run runs a program on a frame and returns its verdict and what it made of it.
func run(t *testing.T, p *ebpf.Program, frame []byte) (uint32, []byte) {
	t.Helper()
	out := make([]byte, len(frame))
	verdict, err := p.Run(&ebpf.RunOptions{Data: frame, DataOut: out})
	if err != nil {
		t.Fatal(err)
	}
	return verdict, out
}

func put(t *testing.T, m *ebpf.Map, value any) {
	t.Helper()
	if err := m.Put(uint32(0), value); err != nil {
		t.Fatal(err)
	}
}

// TestGeneratorWritesEveryByte gives the generator pages full of rubbish, as they may
// come back, and has another parser check what it makes of them.
func TestGeneratorWritesEveryByte(t *testing.T) {
	programs := testPrograms(t)
	for _, test := range []struct {
		size, flows int
		fresh       float64
	}{{64, 16000, 0}, {64, 1, 0}, {128, 16000, 0.25}, {1514, 60, 1}} {
		traffic := testTraffic(test.size, test.flows)
		traffic.Fresh = test.fresh
		s := traffic.stream(1, 3, 0, true)
		if err := programs.Streams.Put(uint32(1), &s); err != nil {
			t.Fatal(err)
		}
		flows, opened := map[uint64]int{}, 0
		const frames = 1024
		for i := range frames {
			rubbish := traffic.blank(1)
			for j := range 54 {
				rubbish[j] = byte(i + j)
			}
			verdict, frame := run(t, programs.Generate, rubbish)
			if verdict != xdpTX {
				t.Fatalf("verdict %d", verdict)
			}
			if n := binary.NativeEndian.Uint32(frame[test.size-8:]); n != uint32(1+3*i) {
				t.Fatalf("frame %d has number %d", i, n)
			}
			flow, syn := checkFrame(t, &traffic, frame)
			flows[flow]++
			if syn {
				opened++
			}
		}
		if want := int(test.fresh * frames); opened != want {
			t.Errorf("%+v: %d frames open flows, want %d", test, opened, want)
		}
		if want := min(test.flows, frames-opened) + opened; test.fresh != 0.25 && len(flows) != want {
			t.Errorf("%+v: %d flows, want %d", test, len(flows), want)
		}
	}
}

// checkFrame checks a frame's headers and sums, and returns its flow.
func checkFrame(t *testing.T, traffic *Traffic, frame []byte) (flow uint64, syn bool) {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if p.ErrorLayer() != nil {
		t.Fatal(p.ErrorLayer().Error())
	}
	again := serialize(t, p)
	if !bytes.Equal(again, frame) {
		t.Fatalf("frame\n% x\nwant\n% x", frame, again)
	}
	ethernet := p.LinkLayer().(*layers.Ethernet)
	ip := p.NetworkLayer().(*layers.IPv4)
	source, _ := netip.AddrFromSlice(ip.SrcIP)
	if !clients.Contains(source) || ip.TTL != 64 || !ip.DstIP.Equal(traffic.VIP.Addr().AsSlice()) ||
		ethernet.DstMAC.String() != traffic.Destination.String() || ethernet.SrcMAC.String() != traffic.Source.String() {
		t.Fatalf("frame:\n%s", p.Dump())
	}
	return p.NetworkLayer().NetworkFlow().FastHash() ^ p.TransportLayer().TransportFlow().FastHash(), p.Layer(layers.LayerTypeTCP) != nil
}

// serialize writes a packet again, with lengths and checksums of the library's own.
func serialize(t *testing.T, p gopacket.Packet) []byte {
	t.Helper()
	var parts []gopacket.SerializableLayer
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.UDP:
			l.SetNetworkLayerForChecksum(p.NetworkLayer())
		case *layers.TCP:
			l.SetNetworkLayerForChecksum(p.NetworkLayer())
		}
		part, ok := l.(gopacket.SerializableLayer)
		if !ok {
			t.Fatalf("layer %v", l.LayerType())
		}
		parts = append(parts, part)
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		t.Fatal(err)
	}
	frame := buffer.Bytes()
	if sum := frame[40:42]; p.Layer(layers.LayerTypeUDP) != nil && sum[0] == 0 && sum[1] == 0 {
		sum[0], sum[1] = 0xff, 0xff // RFC 768; the library does not know
	}
	return frame
}

// TestGeneratorKeepsTime offers the generator turns faster than its rate.
func TestGeneratorKeepsTime(t *testing.T) {
	programs := testPrograms(t)
	traffic := testTraffic(64, 10)
	s := traffic.stream(0, 1, 1, false) // one a second
	s.Burst = 0
	put(t, programs.Streams, &s)
	sent := 0
	for range 100 {
		if verdict, _ := run(t, programs.Generate, make([]byte, 64)); verdict == xdpTX {
			sent++
		}
	}
	if sent < 1 || sent > 3 {
		t.Errorf("sent %d frames at one a second, in less than two", sent)
	}
}

// TestSinkCounts shows frames to the sink, once, twice, late, and of strangers.
func TestSinkCounts(t *testing.T) {
	programs := testPrograms(t)
	traffic := testTraffic(64, 10)
	s := traffic.stream(0, 1, 0, true)
	s.First = 1000
	put(t, programs.Streams, &s)
	want := expected(true, 1001)
	put(t, programs.Expectation, &want)
	var frames [3][]byte
	for i := range frames {
		_, frames[i] = run(t, programs.Generate, make([]byte, 64))
	}
	for _, f := range [][]byte{frames[0], frames[1], frames[2], frames[1]} {
		if verdict, _ := run(t, programs.Sink, f); verdict != xdpDrop {
			t.Errorf("verdict %d", verdict)
		}
	}
	stranger := append([]byte(nil), frames[1]...)
	stranger[26] = 10 // from 10.18.0.0/15
	for _, f := range [][]byte{stranger, make([]byte, 60)} {
		if verdict, _ := run(t, programs.Sink, f); verdict != xdpPass {
			t.Errorf("a stranger's frame: verdict %d", verdict)
		}
	}
	e := &ends{programs: *programs}
	got, err := e.tally()
	if err != nil {
		t.Fatal(err)
	}
	if got.Frames != 3 || got.Duplicates != 1 || got.Stale != 1 || got.Unnumbered != 0 || got.Bytes != 3*64 {
		t.Errorf("tally %+v", got)
	}
	counts, err := e.counts(true)
	if err != nil {
		t.Fatal(err)
	}
	if h := histogramOf(counts); h.TotalCount() != 3 || h.Max() > int64(2e9) {
		t.Errorf("%d delays, up to %d ns", h.TotalCount(), h.Max())
	}
}

func TestSwap(t *testing.T) {
	programs := testPrograms(t)
	traffic := testTraffic(64, 10)
	s := traffic.stream(0, 1, 0, false)
	put(t, programs.Streams, &s)
	want := expected(false, 0)
	put(t, programs.Expectation, &want)
	_, frame := run(t, programs.Generate, make([]byte, 64))
	verdict, swapped := run(t, programs.Swap, frame)
	swapMACs(frame)
	if verdict != xdpTX || string(swapped) != string(frame) {
		t.Errorf("verdict %d, frame % x", verdict, swapped)
	}
}
