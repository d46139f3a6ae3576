package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// The types of an echo and its answer, RFC 792 and RFC 4443.
const (
	icmp4Echo, icmp4Reply = 8, 0
	icmp6Echo, icmp6Reply = 128, 129
)

// ping sends one ICMP echo to the virtual address and returns how long its
// answer took. It repeats the echo until the timeout.
func (c *client) ping(ctx context.Context) (time.Duration, error) {
	network, echo, reply := "ip4:icmp", byte(icmp4Echo), byte(icmp4Reply)
	if c.addr.Is6() {
		network, echo, reply = "ip6:ipv6-icmp", icmp6Echo, icmp6Reply
	}
	var conn net.PacketConn
	err := c.ns.Do(func() (err error) {
		conn, err = new(net.ListenConfig).ListenPacket(ctx, network, c.addr.String())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	defer conn.Close()
	const tries = 5
	id := uint16(rand.Uint32())
	for sequence := range uint16(tries) {
		start := time.Now()
		to := &net.IPAddr{IP: vipFor(c.addr).AsSlice()}
		if _, err := conn.WriteTo(icmpEcho(echo, id, sequence), to); err != nil {
			return 0, fmt.Errorf("ping: %w", err)
		}
		conn.SetReadDeadline(start.Add(requestTimeout / tries))
		if answered(conn, reply, id, sequence) {
			return time.Since(start), nil
		}
	}
	return 0, errors.Join(fmt.Errorf("ping: no answer to %d echoes from %s", tries, c.addr), ctx.Err())
}

// answered reads until the answer to an echo or the deadline.
func answered(conn net.PacketConn, reply byte, id, sequence uint16) bool {
	answer := make([]byte, 256)
	for {
		n, _, err := conn.ReadFrom(answer)
		if err != nil {
			return false
		}
		if n >= 8 && answer[0] == reply &&
			binary.BigEndian.Uint16(answer[4:]) == id && binary.BigEndian.Uint16(answer[6:]) == sequence {
			return true
		}
	}
}

// icmpEcho is an echo message. The kernel overwrites the checksum of ICMPv6,
// which covers addresses that are its to choose.
func icmpEcho(kind byte, id, sequence uint16) []byte {
	message := []byte{kind, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(message[4:], id)
	binary.BigEndian.PutUint16(message[6:], sequence)
	sum := uint32(kind)<<8 + uint32(id) + uint32(sequence)
	sum = sum&0xffff + sum>>16
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(message[2:], ^uint16(sum))
	return message
}
