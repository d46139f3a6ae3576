package flood

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/xlvs/xlvs/packet"
)

// The kinds of floods, and what a frame of each is.
const (
	kindSYN     = "syn"       // a SYN from an address that never comes again
	kindSYNACK  = "syn-ack"   // a SYN, then its ACK, from each address
	kindUDP     = "udp"       // one datagram from each address
	kindUDP2    = "udp-2"     // two datagrams from each address
	kindSYN6    = "syn-6"     // syn, IPv6
	kindSYNACK6 = "syn-ack-6" // syn-ack, IPv6
	kindACK     = "ack"       // segments of no connection
	kindRST     = "rst"       // resets of no connection
	kindOnePort = "one-port"  // one address and port that opens connections to every port
	kindRevisit = "revisit"   // as many sources as the table has entries, each again and again
)

// Kinds are the floods that there are.
func Kinds() []string {
	return []string{kindSYN, kindSYNACK, kindUDP, kindUDP2, kindSYN6, kindSYNACK6, kindACK, kindRST,
		kindOnePort, kindRevisit}
}

// revisitors are the sources of kindRevisit: as many as the default table has entries.
const revisitors = 1 << 20

// flow is where a frame says that it comes from, and what it is.
type flow struct {
	source uint32 // IPv4: the address; IPv6: part of it
	port   uint16
	to     uint16 // port at the virtual address
	flags  uint8
}

// stream is the sequence of flows of a flood. One goroutine uses it.
type stream struct {
	kind  string
	n     uint64
	state uint64    // of the generator of pseudo-random numbers, xorshift
	sent  [lag]flow // the first frames so far
	due   flow      // of the next second frame
}

// lag is how many first frames lie between the first and the second one of a sender: a
// second frame that came at once would overtake the decision on the first.
const lag = 4096

func (s *stream) random() uint32 {
	s.state ^= s.state << 13
	s.state ^= s.state >> 7
	s.state ^= s.state << 17
	return uint32(s.state >> 16)
}

// The invented sources are of 45.0.0.0/8, to which the servers have no route.
const spoofed4 = 45 << 24

// next is the next frame's flow.
func (s *stream) next() flow {
	n := s.n
	s.n++
	f := flow{source: spoofed4 | s.random()&0xffffff, port: uint16(1024 + s.random()%64000), to: webPort, flags: packet.SYN}
	switch s.kind {
	case kindSYNACK, kindSYNACK6:
		var second bool
		if f, second = s.paired(n, f); second {
			f.flags = packet.ACK
		}
	case kindUDP, kindUDP2:
		f.to = dnsPort
		if s.kind == kindUDP2 {
			f, _ = s.paired(n, f)
		}
	case kindACK:
		f.flags = packet.ACK
	case kindRST:
		f.flags = packet.RST
	case kindOnePort:
		f = flow{source: spoofed4 | 1, port: 40000, to: uint16(1 + n/2%65535), flags: packet.SYN}
		if n%2 == 1 {
			f.flags = packet.ACK
		}
	case kindRevisit:
		who := uint32(n % revisitors)
		f = flow{source: spoofed4 | who&0xffffff, port: uint16(1024 + who%50000), to: webPort, flags: packet.SYN}
		if n >= revisitors {
			f.flags = packet.ACK
		}
	}
	return f
}

// paired is a new flow for each even frame, and for each odd one the flow that began lag
// even frames before. Until there is one, odd frames are of new flows, too.
func (s *stream) paired(n uint64, fresh flow) (f flow, second bool) {
	if n%2 == 1 {
		if s.due.port == 0 {
			return fresh, false
		}
		return s.due, true
	}
	at := &s.sent[n/2%lag]
	s.due, *at = *at, fresh
	return fresh, false
}

// ofIPv6 and ofUDP say what a kind's frames are.
func ofIPv6(kind string) bool { return kind == kindSYN6 || kind == kindSYNACK6 }
func ofUDP(kind string) bool  { return kind == kindUDP || kind == kindUDP2 }

// mould is a frame of a kind, and where its parts are.
type mould struct {
	frame          []byte
	v6, udp        bool
	l3, l4         int
	sourceChecksum uint16 // of the IPv4 header with source 0
}

// newMould makes a frame to the director.
func newMould(kind string, from, to net.HardwareAddr) (*mould, error) {
	m := &mould{v6: ofIPv6(kind), udp: ofUDP(kind), l3: packet.EthernetLen}
	stack := []gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: from, DstMAC: to, EthernetType: layers.EthernetTypeIPv4}}
	protocol := layers.IPProtocolTCP
	if m.udp {
		protocol = layers.IPProtocolUDP
	}
	var network gopacket.NetworkLayer
	if m.v6 {
		stack[0].(*layers.Ethernet).EthernetType = layers.EthernetTypeIPv6
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol,
			SrcIP: netip.MustParseAddr("2001:db8:bad::").AsSlice(), DstIP: vip6.AsSlice()}
		network, stack, m.l4 = ip, append(stack, ip), m.l3+packet.IPv6Len
	} else {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: net.IPv4zero.To4(), DstIP: vip4.AsSlice()}
		network, stack, m.l4 = ip, append(stack, ip), m.l3+packet.IPv4Len
	}
	if m.udp {
		udp := &layers.UDP{SrcPort: 1, DstPort: dnsPort}
		if err := udp.SetNetworkLayerForChecksum(network); err != nil {
			return nil, err
		}
		stack = append(stack, udp, gopacket.Payload("flood"))
	} else {
		tcp := &layers.TCP{SrcPort: 1, DstPort: webPort, Window: 8192}
		if err := tcp.SetNetworkLayerForChecksum(network); err != nil {
			return nil, err
		}
		stack = append(stack, tcp)
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		return nil, fmt.Errorf("frame of a %s flood: %w", kind, err)
	}
	m.frame = buffer.Bytes()
	if !m.v6 {
		m.sourceChecksum = packet.IPv4(m.frame[m.l3:]).Checksum()
	}
	return m, nil
}

// Offsets within headers, in bytes.
const (
	checksumAt  = 10 // IPv4
	source4At   = 12
	source6At   = 8 + 6 // behind the prefix 2001:db8:bad
	tcpFlagsAt  = 13
	tcpSumAt    = 16
	udpSumAt    = 6
	nothingSent = 0
)

// lay writes a flow's frame into b and returns how long the frame is. Checksums are
// right, so that the frame meets the same fate as a real one.
func (m *mould) lay(b []byte, f flow) int {
	n := copy(b, m.frame)
	if m.v6 {
		binary.BigEndian.PutUint32(b[m.l3+source6At:], f.source)
	} else {
		binary.BigEndian.PutUint32(b[m.l3+source4At:], f.source)
		binary.BigEndian.PutUint16(b[m.l3+checksumAt:], packet.UpdateChecksum32(m.sourceChecksum, nothingSent, f.source))
	}
	binary.BigEndian.PutUint16(b[m.l4:], f.port)
	binary.BigEndian.PutUint16(b[m.l4+2:], f.to)
	sumAt, flags := udpSumAt, uint16(0)
	if !m.udp {
		sumAt, flags = tcpSumAt, uint16(f.flags)
		b[m.l4+tcpFlagsAt] = f.flags
	}
	sum := binary.BigEndian.Uint16(m.frame[m.l4+sumAt:])
	sum = packet.UpdateChecksum32(sum, nothingSent, f.source)
	sum = packet.UpdateChecksum(sum, 1, f.port)
	sum = packet.UpdateChecksum(sum, binary.BigEndian.Uint16(m.frame[m.l4+2:]), f.to)
	sum = packet.UpdateChecksum(sum, 0, flags)
	if m.udp && sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[m.l4+sumAt:], sum)
	return n
}
