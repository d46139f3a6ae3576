package testnet

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/nic"
)

// two makes two namespaces joined by a veth pair, left 10.9.0.1 and right 10.9.0.2.
func two(t *testing.T) (left, right *Namespace) {
	t.Helper()
	left, right = Fresh(t), Fresh(t)
	must(t, Pair(Veth{Namespace: left, Name: "left"}, Veth{Namespace: right, Name: "right"}))
	must(t, left.AddAddr("left", netip.MustParsePrefix("10.9.0.1/24")))
	must(t, right.AddAddr("right", netip.MustParsePrefix("10.9.0.2/24")))
	return left, right
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWireFramesFillsInChecksums(t *testing.T) {
	left, right := two(t)
	if udpChecksumSeen(t, left, right) {
		t.Fatal("a veth as made sent a complete checksum: the test shows nothing on this kernel")
	}
	must(t, left.WireFrames("left"))
	if !udpChecksumSeen(t, left, right) {
		t.Error("the checksum is still left to the hardware")
	}
}

// udpChecksumSeen sends a datagram from left and says whether its checksum is
// right as a packet socket on right sees it.
func udpChecksumSeen(t *testing.T, left, right *Namespace) bool {
	t.Helper()
	var socket int
	must(t, right.Do(func() (err error) {
		socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_IP)))
		return err
	}))
	defer unix.Close(socket)
	second := unix.NsecToTimeval(time.Second.Nanoseconds())
	must(t, unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &second))
	must(t, left.Do(func() error {
		conn, err := net.Dial("udp", "10.9.0.2:9")
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("checksum"))
		return err
	}))
	frame := make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(socket, frame, 0)
		must(t, err)
		p := gopacket.NewPacket(frame[:n], layers.LayerTypeEthernet, gopacket.Default)
		udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		if !ok || udp.DstPort != 9 {
			continue
		}
		seen := udp.Checksum
		must(t, udp.SetNetworkLayerForChecksum(p.NetworkLayer()))
		buf := gopacket.NewSerializeBuffer()
		must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, udp, gopacket.Payload(udp.Payload)))
		return seen == udp.Checksum
	}
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// TestSetGROMakesAPeerThatTakesXDPFrames asks the other end, which is what the kernel tells of it.
func TestSetGROMakesAPeerThatTakesXDPFrames(t *testing.T) {
	left, right := two(t)
	index, err := left.Index("left")
	must(t, err)
	for _, on := range []bool{true, false} {
		must(t, right.SetGRO("right", on))
		must(t, left.Do(func() error {
			features, err := nic.ReadXDPFeatures(index)
			if takes := features&nic.XDPTransmit != 0; takes != on {
				t.Errorf("GRO on the right: %t; frames that left sends back are taken: %t", on, takes)
			}
			return err
		}))
	}
}

func TestSetFeaturesNamesWhatIsUnknown(t *testing.T) {
	left, _ := two(t)
	if err := left.SetFeatures("left", false, "no-such-feature"); err == nil {
		t.Error("an unknown feature was accepted")
	}
	if err := left.SetFeatures("absent", false, "rx-gro"); err == nil {
		t.Error("an unknown interface was accepted")
	}
}
