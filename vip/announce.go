package vip

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/packet"
)

// station is an interface that addresses are announced on.
type station struct {
	link int // interface index
	mac  [6]byte
}

// announcer sends frames that tell a link where an address is now.
type announcer struct{ fd int }

func openAnnouncer() (*announcer, error) {
	// Protocol 0: this socket receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket for announcements: %w", err)
	}
	return &announcer{fd: fd}, nil
}

func (a *announcer) close() error { return unix.Close(a.fd) }

// announce tells the stations on a link that ip is at s. IPv4: both a request
// and a reply, for hosts that heed only one of them. IPv6: an advertisement.
func (a *announcer) announce(ip netip.Addr, s station) error {
	if ip.Is4() {
		if err := a.send(s, unix.ETH_P_ARP, gratuitousARP(arpRequest, ip, s.mac)); err != nil {
			return err
		}
		return a.send(s, unix.ETH_P_ARP, gratuitousARP(arpReply, ip, s.mac))
	}
	return a.send(s, unix.ETH_P_IPV6, advertisement(ip, s.mac))
}

func (a *announcer) send(s station, etherType uint16, frame []byte) error {
	to := unix.SockaddrLinklayer{Ifindex: s.link, Protocol: networkOrder(etherType)}
	for {
		if err := unix.Sendto(a.fd, frame, 0, &to); err != unix.EINTR {
			return err
		}
	}
}

// networkOrder is htons(3).
func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

const (
	arpRequest = 1
	arpReply   = 2
)

var broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ethernet starts a frame.
func ethernet(dst, src [6]byte, etherType uint16) []byte {
	frame := make([]byte, 0, 96)
	frame = append(append(frame, dst[:]...), src[:]...)
	return binary.BigEndian.AppendUint16(frame, etherType)
}

// gratuitousARP is an ARP message (RFC 826) about one's own address: sender
// and target protocol address are the same. A reply's target hardware address
// is the sender's too (RFC 5944, 4.6): Linux takes it as gratuitous only then.
func gratuitousARP(operation uint16, ip netip.Addr, mac [6]byte) []byte {
	const minFrame = 60 // without the checksum
	var target [6]byte
	if operation == arpReply {
		target = mac
	}
	frame := ethernet(broadcast, mac, unix.ETH_P_ARP)
	frame = append(frame, 0, 1, 8, 0, 6, 4) // Ethernet, IPv4, and their lengths
	frame = binary.BigEndian.AppendUint16(frame, operation)
	frame = append(append(frame, mac[:]...), ip.AsSlice()...)
	frame = append(append(frame, target[:]...), ip.AsSlice()...)
	return append(frame, make([]byte, minFrame-len(frame))...)
}

// advertisement is an unsolicited neighbour advertisement (RFC 4861, 4.4 and
// 7.2.6) to all nodes of the link, with the override flag.
func advertisement(ip netip.Addr, mac [6]byte) []byte {
	const (
		hopLimit        = 255 // anything less is ignored: it came from elsewhere
		typeNA          = 136
		flagOverride    = 0x20
		targetLinkLayer = 2 // option; its length is in units of 8 bytes
	)
	allNodes := netip.MustParseAddr("ff02::1")
	body := append([]byte{typeNA, 0, 0, 0, flagOverride, 0, 0, 0}, ip.AsSlice()...)
	body = append(append(body, targetLinkLayer, 1), mac[:]...)
	sum := packet.PseudoHeader(packet.AddrFrom(ip), packet.AddrFrom(allNodes), packet.ICMPv6, len(body))
	binary.BigEndian.PutUint16(body[2:], sum.Add(body).Checksum())

	frame := ethernet([6]byte{0x33, 0x33, 0, 0, 0, 1}, mac, unix.ETH_P_IPV6)
	frame = append(frame, 6<<4, 0, 0, 0)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(body)))
	frame = append(frame, byte(packet.ICMPv6), hopLimit)
	frame = append(append(frame, ip.AsSlice()...), allNodes.AsSlice()...)
	return append(frame, body...)
}
