package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
)

// Client talks to a running director over its control socket. Its methods may
// block until the context ends.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client of the director whose control socket is at path.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Services asks for the services and their real servers.
func (c *Client) Services(ctx context.Context) (*Listing, error) {
	var l Listing
	return &l, c.get(ctx, "/v1/services", func(body io.Reader) error { return json.NewDecoder(body).Decode(&l) })
}

// Status asks how the director itself is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	return &s, c.get(ctx, "/v1/status", func(body io.Reader) error { return json.NewDecoder(body).Decode(&s) })
}

// Connections calls each with every connection entry.
func (c *Client) Connections(ctx context.Context, each func(*Connection) error) error {
	return c.get(ctx, "/v1/connections", lines(each))
}

// Templates calls each with every persistence template.
func (c *Client) Templates(ctx context.Context, each func(*Template) error) error {
	return c.get(ctx, "/v1/templates", lines(each))
}

// lines decodes one JSON object a line. A stream that breaks off is an error.
func lines[T any](each func(*T) error) func(io.Reader) error {
	return func(body io.Reader) error {
		d := json.NewDecoder(bufio.NewReaderSize(body, 1<<16))
		for {
			var v T
			if err := d.Decode(&v); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := each(&v); err != nil {
				return err
			}
		}
	}
}

func (c *Client) get(ctx context.Context, what string, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://xlvs"+what, nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no director answers at %s: is `xlvs run` running, and is this its control socket?", c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("control socket %s: permission denied: run as root or as a member of the socket's group", c.path)
	case err != nil:
		return fmt.Errorf("control socket %s: %w", c.path, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return fmt.Errorf("control socket %s: %s: %s", c.path, response.Status, text)
	}
	if err := read(response.Body); err != nil {
		return fmt.Errorf("control socket %s: answer to %s: %w", c.path, what, err)
	}
	return nil
}
