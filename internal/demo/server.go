package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sync/errgroup"
)

// HostCommand is the command of an executable that runs [Serve]; its arguments
// are the name and the folder.
const HostCommand = "demo-host"

// What a host's process and the demo say to each other, a line each: the
// process writes ready when all of its ports are open; the demo writes keep
// when the process is to go on after the demo has gone.
const (
	lineReady = "ready"
	lineKeep  = "keep"
)

// Serve is a host of the demo, run as a process of its own inside the host's
// namespace, because some of what it serves opens sockets on threads of the
// library's choosing. The host "director" answers on the SSH port, any other
// name is a real server's. dir holds the certificate and, once Serve runs, the
// files of the FTP server. It writes "ready" to out when all ports are open, and
// returns when ctx ends or in does, unless in said "keep" before.
func Serve(ctx context.Context, name, dir string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	open := openServer
	if name == directorName {
		open = openShell
	}
	if err := open(ctx, group, name, dir); err != nil {
		cancel()
		return errors.Join(fmt.Errorf("serve %s: %w", name, err), group.Wait())
	}
	fmt.Fprintln(out, lineReady)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n')
		if line != lineKeep+"\n" {
			cancel()
		}
	}()
	return group.Wait()
}

// openServer opens a real server's ports.
func openServer(ctx context.Context, group *errgroup.Group, name, dir string) error {
	if err := serveHTTP(ctx, group, name, dir); err != nil {
		return err
	}
	if err := serveFTP(ctx, group, name, dir); err != nil {
		return err
	}
	for _, vip := range []netip.Addr{vip4, vip6} {
		if err := serveEcho(ctx, group, name, netip.AddrPortFrom(vip, portEcho)); err != nil {
			return err
		}
	}
	return nil
}

// openShell opens the SSH-like port of the director's own host: a greeting, and
// an echo of what is said to it.
func openShell(ctx context.Context, group *errgroup.Group, name, _ string) error {
	l, err := listen(ctx, portSSH)
	if err != nil {
		return err
	}
	group.Go(func() error {
		for {
			conn, err := l.Accept()
			if err != nil {
				return ended(ctx, err)
			}
			go func() {
				defer conn.Close()
				fmt.Fprintf(conn, "%s the kernel of %s\r\n", shellGreeting, name)
				io.Copy(conn, conn)
			}()
		}
	})
	return nil
}

const shellGreeting = "SSH-2.0-demo"

// listen opens a TCP port on all addresses until ctx ends.
func listen(ctx context.Context, port int) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	return l, nil
}

// ended is the error of a server that stopped: none if it was asked to.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
