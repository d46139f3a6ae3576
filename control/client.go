package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
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

// Tuning asks for what can be tuned, as it stands.
func (c *Client) Tuning(ctx context.Context) (*Tuning, error) {
	var t Tuning
	return &t, c.get(ctx, "/v1/tuning", func(body io.Reader) error { return json.NewDecoder(body).Decode(&t) })
}

// Tune changes settings, all or none, and returns how things stand then. With a
// trial time, in whole milliseconds, the director takes them back when that is
// over without another Tune, so that a client that dies leaves nothing behind. 0 is for good.
func (c *Client) Tune(ctx context.Context, s *Settings, trial time.Duration) (*Tuning, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	what := "/v1/tuning"
	if trial > 0 {
		what += "?trial=" + trial.String()
	}
	var t Tuning
	return &t, c.do(ctx, http.MethodPut, what, bytes.NewReader(body), func(body io.Reader) error { return json.NewDecoder(body).Decode(&t) })
}

func (c *Client) get(ctx context.Context, what string, read func(io.Reader) error) error {
	return c.do(ctx, http.MethodGet, what, nil, read)
}

func (c *Client) do(ctx context.Context, method, what string, send io.Reader, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://xlvs"+what, send)
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
		if response.StatusCode == http.StatusUnprocessableEntity {
			return errors.New(strings.TrimSpace(string(text)))
		}
		return fmt.Errorf("control socket %s: %s: %s", c.path, response.Status, text)
	}
	if err := read(response.Body); err != nil {
		return fmt.Errorf("control socket %s: answer to %s: %w", c.path, what, err)
	}
	return nil
}
