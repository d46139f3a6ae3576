package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/jlaffaye/ftp"
)

// greetingOf finds the server's name in the transcript of a control connection.
var greetingOf = regexp.MustCompile("220 " + ftpWelcomePrefix + `(\w+)`)

// ftpSession is what a client saw of one FTP session.
type ftpSession struct {
	control string   // the server that greeted it
	data    []string // the server behind each data connection
	ports   []uint16 // and its port
}

// servers is the server of the control connection, then of each data connection.
func (s ftpSession) servers() []string { return append([]string{s.control}, s.data...) }

// ftpSession logs in, lists the folder, retrieves the file that names the
// server, and stores a file and retrieves it, each over a data connection of
// its own: PASV for IPv4, EPSV for IPv6.
func (c *client) ftpSession(ctx context.Context) (seen ftpSession, err error) {
	var transcript bytes.Buffer
	session, err := ftp.Dial(c.vip(portFTP),
		ftp.DialWithDebugOutput(&transcript),
		ftp.DialWithDisabledEPSV(c.addr.Is4()),
		ftp.DialWithDialFunc(func(network, address string) (net.Conn, error) {
			return c.dialFTP(ctx, network, address, &seen)
		}))
	if err != nil {
		return seen, fmt.Errorf("ftp control connection: %w", err)
	}
	defer session.Quit()
	greeting := greetingOf.FindSubmatch(transcript.Bytes())
	if greeting == nil {
		return seen, fmt.Errorf("ftp: no greeting of a real server in %q", transcript.String())
	}
	seen.control = string(greeting[1])
	if err := session.Login(ftpUser, ftpPassword); err != nil {
		return seen, fmt.Errorf("ftp login at %s: %w", seen.control, err)
	}
	if seen.data, err = c.transfer(session); err != nil {
		return seen, fmt.Errorf("ftp session at %s: %w", seen.control, err)
	}
	return seen, nil
}

// transfer uses four data connections and returns the server behind each.
func (c *client) transfer(session *ftp.ServerConn) (behind []string, err error) {
	listed, err := listedServer(session)
	if err != nil {
		return behind, err
	}
	behind = append(behind, listed)
	named, err := retrieve(session, ftpPublic+"/"+ftpNamePrefix+listed)
	if err != nil {
		return behind, err
	}
	behind = append(behind, named)
	// Only the server that has stored the upload can give it back.
	name, upload := ftpUploads+"/from-"+c.addr.String(), rand.Text()
	if err := session.Stor(name, strings.NewReader(upload)); err != nil {
		return behind, fmt.Errorf("STOR: %w", err)
	}
	behind = append(behind, named)
	got, err := retrieve(session, name)
	if err != nil {
		return behind, err
	}
	if got != upload {
		return behind, fmt.Errorf("RETR %s: stored %q, got %q", name, upload, got)
	}
	behind = append(behind, named)
	return behind, session.Delete(name)
}

// dialFTP opens a control or a data connection, and notes the port of the latter.
func (c *client) dialFTP(ctx context.Context, network, address string, seen *ftpSession) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	if to.Addr() != vipFor(c.addr) {
		return nil, fmt.Errorf("the server advertises %s, not the virtual address", to)
	}
	if to.Port() != portFTP {
		seen.ports = append(seen.ports, to.Port())
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(2 * requestTimeout))
}

// listedServer is the server named by the listing.
func listedServer(session *ftp.ServerConn) (string, error) {
	entries, err := session.List("/" + ftpPublic)
	if err != nil {
		return "", fmt.Errorf("LIST: %w", err)
	}
	for _, entry := range entries {
		if name, ok := strings.CutPrefix(entry.Name, ftpNamePrefix); ok {
			return name, nil
		}
	}
	return "", fmt.Errorf("LIST: no file named %s* among %d", ftpNamePrefix, len(entries))
}

// retrieve is the content of a file.
func retrieve(session *ftp.ServerConn, name string) (string, error) {
	answer, err := session.Retr(name)
	if err != nil {
		return "", fmt.Errorf("RETR %s: %w", name, err)
	}
	content, err := io.ReadAll(answer)
	if closeErr := answer.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", fmt.Errorf("RETR %s: %w", name, err)
	}
	return string(content), nil
}
