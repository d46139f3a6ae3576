// Package deps keeps go.mod whole while the packages grow in parallel; it goes before the first release.
package deps

import (
	_ "github.com/asavie/xdp"
	_ "github.com/cilium/ebpf"
	_ "github.com/coreos/go-systemd/v22/daemon"
	_ "github.com/dgraph-io/ristretto/v2"
	_ "github.com/gaissmai/bart"
	_ "github.com/goccy/go-yaml"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/google/gopacket"
	_ "github.com/google/gopacket/layers"
	_ "github.com/jlaffaye/ftp"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/schollz/progressbar/v3"
	_ "github.com/spf13/afero"
	_ "github.com/urfave/cli/v2"
	_ "github.com/vishvananda/netlink"
	_ "github.com/vishvananda/netns"
	_ "go.uber.org/goleak"
	_ "goftp.io/server/v2"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
	_ "pgregory.net/rapid"
)
