package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Traffic is what a generator sends: UDP of flows that go on for ever, and among
// it TCP SYNs, each of a flow never seen before. IPv4; checksums are right.
//
// Frames come from 198.18.0.0/15, which RFC 2544 keeps for benchmarks: flows that
// go on from its lower half, new ones from its upper half.
type Traffic struct {
	Size  int     // of a frame in bytes, without the check sequence: even, 64 to 1514
	Flows int     // that go on; 1,000 clients share them
	Fresh float64 // share of frames that open a new flow, 0 to 1

	VIP         netip.AddrPort   // where they go
	Destination net.HardwareAddr // the balancer's MAC address
	Source      net.HardwareAddr // the generator's
}

// clients is where the frames come from.
var clients = netip.MustParsePrefix("198.18.0.0/15")

const (
	mostClients   = 1000
	ethernetBytes = 14
	ipv4Bytes     = 20
	smallestFrame = 64
	largestFrame  = 1514
	mostFlows     = mostClients * 60000 // ports of a client
	shares        = 1024                // in which Fresh is counted; SHARES in wire.c
)

// Validate tells what a generator cannot send.
func (t *Traffic) Validate() error {
	var errs []error
	if t.Size < smallestFrame || t.Size > largestFrame || t.Size%2 != 0 {
		errs = append(errs, fmt.Errorf("frames of %d bytes: want an even number, %d to %d", t.Size, smallestFrame, largestFrame))
	}
	if t.Flows < 1 || t.Flows > mostFlows {
		errs = append(errs, fmt.Errorf("%d flows: want 1 to %d", t.Flows, mostFlows))
	}
	if t.Fresh < 0 || t.Fresh > 1 {
		errs = append(errs, fmt.Errorf("a share of new flows of %v: want 0 to 1", t.Fresh))
	}
	if !t.VIP.Addr().Is4() || t.VIP.Port() == 0 {
		errs = append(errs, fmt.Errorf("virtual address %s: want an IPv4 address and a port", t.VIP))
	}
	if len(t.Destination) != 6 || len(t.Source) != 6 {
		errs = append(errs, fmt.Errorf("MAC addresses %v and %v: want 6 bytes", t.Destination, t.Source))
	}
	return errors.Join(errs...)
}

// stream is the traffic as generator number of count sends its part of it, at
// rate frames a second, or as fast as it can if that is 0.
func (t *Traffic) stream(number, count int, rate float64, stamp bool) wireStream {
	length := t.Size - ethernetBytes
	vip := t.VIP.Addr().As4()
	s := wireStream{
		First:   uint32(number),
		Step:    uint32(count),
		Clients: uint32(min(mostClients, t.Flows)),
		Fresh:   uint32(t.Fresh * shares),
		Vip:     binary.NativeEndian.Uint32(vip[:]),
		Network: binary.BigEndian.Uint32(clients.Addr().AsSlice()),
		Port:    wireOrder(t.VIP.Port()),
		Length:  wireOrder(uint16(length)),
	}
	s.Ports = uint32((t.Flows + int(s.Clients) - 1) / int(s.Clients))
	copy(s.Destination[:], t.Destination)
	copy(s.Source[:], t.Source)
	if stamp {
		s.Stamp = 1
	}
	if rate > 0 {
		s.Interval = uint64(fine * float64(count) * float64(time.Second) / rate)
		s.Burst = catchUp * s.Interval
		if stamp {
			s.Burst = fine * uint64(catchUpFor)
		}
	}
	t.sums(&s, uint32(s.Port), length)
	return s
}

const (
	fine = 256 // parts of a nanosecond in which wire.c counts
	// catchUp is how many frames a generator that was held up sends at once.
	catchUp = 64
	// catchUpFor is for how long back it does so when delays are measured: they count
	// from when a frame was due, not from when the generator came to send it. Else a
	// balancer that holds up the generator by sharing its processor would hide its
	// pauses: the frames that would have met them would not be sent ("coordinated
	// omission").
	catchUpFor = 5 * time.Millisecond
)

// blank is a frame of stream number before the generator has written anything
// else into it; see struct trailer in wire.c.
func (t *Traffic) blank(number int) []byte {
	const fromEnd = 10
	frame := make([]byte, t.Size)
	binary.NativeEndian.PutUint16(frame[t.Size-fromEnd:], uint16(number))
	return frame
}

// sums adds up what no frame of the stream changes, for its checksums.
func (t *Traffic) sums(s *wireStream, port uint32, length int) {
	const (
		tcp, udp   = 6, 17
		version    = 0x4500
		ttl        = 64 << 8
		syn        = 0x5002
		wholeAhead = 0xffff
	)
	word := func(v int) uint32 { return uint32(wireOrder(uint16(v))) }
	payload := word(length - ipv4Bytes)
	// RFC 1071: the sum of 16-bit words does not mind their byte order, nor that two
	// are added as one of 32 bits; wire.c folds it. 32 bits might run over here.
	vip := s.Vip&0xffff + s.Vip>>16
	s.IpSum = word(version) + word(length) + word(ttl) + vip
	s.UdpSum = vip + word(udp) + 2*payload + port
	s.TcpSum = vip + word(tcp) + payload + port + word(syn) + wholeAhead
}

// wireOrder is v as it is to be stored, so that its bytes are in the wire's order.
func wireOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// expected is how a sink knows these frames.
func expected(stamp bool, first uint32) wireExpected {
	e := wireExpected{
		First:   first,
		Network: binary.NativeEndian.Uint32(clients.Addr().AsSlice()),
		Mask:    binary.NativeEndian.Uint32(net.CIDRMask(clients.Bits(), 32)),
	}
	if stamp {
		e.Stamp = 1
	}
	return e
}
