package pipeline

import (
	"encoding/binary"
	"net/netip"

	"github.com/xlvs/xlvs/dataplane"
	"github.com/xlvs/xlvs/packet"
)

const (
	// frameDistance is from one frame to the next, as in a UMEM; frameStart is the room
	// that the kernel leaves before a packet (XDP_PACKET_HEADROOM).
	frameDistance = 2048
	frameStart    = 256
	// frameCount is how many frames go round. It is more than a batch, as on a ring.
	frameCount = 256

	ethernet = 14
	ipv4     = 20
	ipv6     = 40
	tcp      = 20
	// flagsAt is where TCP's flags are in its header.
	flagsAt = 13
	hops    = 64
	port    = 80
)

var (
	vip4 = netip.MustParseAddr("203.0.113.10")
	vip6 = netip.MustParseAddr("2001:db8::10")
)

// newFrames lays TCP packets to the virtual address into memory of frameCount
// times frameDistance bytes. A packet of IPv6 takes 74 bytes at least.
func newFrames(memory []byte, v6 bool, size Size) []dataplane.Frame {
	frames := make([]dataplane.Frame, frameCount)
	for i := range frames {
		buffer, length := memory[i*frameDistance:(i+1)*frameDistance], size.nth(i)
		if v6 {
			length = max(length, ethernet+ipv6+tcp)
		}
		frames[i] = dataplane.Frame{Buffer: buffer, Start: frameStart, End: uint32(frameStart + length)}
		if v6 {
			lay6(frames[i].Bytes())
		} else {
			lay4(frames[i].Bytes())
		}
	}
	return frames
}

// lay4 makes f a packet of IPv4. 64 bytes are its 54 and padding.
func lay4(f []byte) {
	total := len(f) - ethernet
	if len(f) == minSize {
		total = ipv4 + tcp
	}
	binary.BigEndian.PutUint16(f[12:], 0x0800)
	ip := f[ethernet:]
	ip[0], ip[8], ip[9] = 4<<4|ipv4/4, 64, byte(packet.TCP)
	binary.BigEndian.PutUint16(ip[2:], uint16(total))
	copy(ip[16:], vip4.AsSlice())
	layTCP(ip[ipv4:])
}

// lay6 makes f a packet of IPv6.
func lay6(f []byte) {
	binary.BigEndian.PutUint16(f[12:], 0x86dd)
	ip := f[ethernet:]
	ip[0], ip[6], ip[7] = 6<<4, byte(packet.TCP), 64
	binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-ipv6))
	copy(ip[8:], netip.MustParseAddr("2001:db8:c::").AsSlice())
	copy(ip[24:], vip6.AsSlice())
	layTCP(ip[ipv6:])
}

func layTCP(t []byte) {
	binary.BigEndian.PutUint16(t[2:], port)
	t[12] = tcp / 4 << 4
}

// setFlow makes a frame one of client n, whose address and source port are its own. It
// has its TTL again, of which forwarding takes one.
func setFlow(frame []byte, v6 bool, n uint32, flags uint8) {
	l4 := ethernet + ipv4
	if v6 {
		l4 = ethernet + ipv6
		frame[ethernet+7] = hops
		binary.BigEndian.PutUint32(frame[ethernet+8+12:], n)
	} else {
		// TTL, protocol, no checksum, source
		binary.BigEndian.PutUint64(frame[ethernet+8:], hops<<56|uint64(packet.TCP)<<48|uint64(10<<24+n))
	}
	binary.BigEndian.PutUint16(frame[l4:], uint16(1024+n%50000))
	frame[l4+flagsAt] = flags
}
