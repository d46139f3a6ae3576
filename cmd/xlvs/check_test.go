package main

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xlvs/xlvs/internal/testnet"
)

const farServer = `
interfaces: [{name: eth0}]
services:
  - address: 203.0.113.10
    protocol: tcp
    port: 80
    servers: [{address: 10.0.0.11}, {address: 192.0.2.11}]
`

// A server behind a router is warned of, on the host that the file is for.
func TestCheckLooksAtRoutes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "xlvs.yaml")
	must(t, os.WriteFile(path, []byte(farServer), 0o600))
	ns := testnet.Fresh(t)
	check := func() string {
		var said bytes.Buffer
		must(t, ns.Do(func() error {
			if code := run(context.Background(), []string{"xlvs", "check", "-c", path}, io.Discard, &said); code != 0 {
				t.Errorf("exit code %d: %s", code, &said)
			}
			return nil
		}))
		return said.String()
	}
	if got := check(); got != "" {
		t.Errorf("on a host without the interface: %q", got)
	}
	must(t, testnet.Pair(testnet.Veth{Namespace: ns, Name: "eth0"}, testnet.Veth{Namespace: ns, Name: "peer"}))
	must(t, ns.AddAddr("eth0", netip.MustParsePrefix("10.0.0.1/24")))
	must(t, ns.AddRoute(netip.Prefix{}, netip.MustParseAddr("10.0.0.9")))
	got := check()
	if !strings.Contains(got, "server not on link: 192.0.2.11 is behind the router 10.0.0.9") || strings.Contains(got, "10.0.0.11") {
		t.Errorf("with a router before one server: %q", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
