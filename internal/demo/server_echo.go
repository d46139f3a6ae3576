package demo

import (
	"context"
	"net"
	"net/netip"

	"golang.org/x/sync/errgroup"
)

// serveEcho sends every datagram back with the server's name and a space before
// it. It listens on the virtual address itself, so that answers come from it.
func serveEcho(ctx context.Context, group *errgroup.Group, name string, at netip.AddrPort) error {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	group.Go(func() error {
		const maxDatagram = 1472 // one frame's
		answer := append([]byte(name), ' ')
		prefix := len(answer)
		answer = append(answer, make([]byte, maxDatagram)...)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(answer[prefix:])
			if err != nil {
				return ended(ctx, err)
			}
			conn.WriteToUDPAddrPort(answer[:prefix+n], from) // a client that is gone is no matter
		}
	})
	return nil
}
