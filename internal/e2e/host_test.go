package e2e

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/xlvs/xlvs/internal/packettest"
)

// hostState is what a director could leave behind, as text: interfaces with
// their XDP programs and addresses, pins and files.
func (d *director) hostState() string {
	d.t.Helper()
	var out strings.Builder
	links, err := d.namespace.Netlink().LinkList()
	must(d.t, err)
	for _, l := range links {
		a := l.Attrs()
		fmt.Fprintf(&out, "%s mtu %d promisc %d up %t", a.Name, a.MTU, a.Promisc, a.RawFlags&1 != 0)
		if a.Xdp != nil && a.Xdp.Attached {
			fmt.Fprintf(&out, " xdp %d", a.Xdp.ProgId)
		}
		addrs, err := d.namespace.Netlink().AddrList(l, netlink.FAMILY_ALL)
		must(d.t, err)
		for _, addr := range addrs {
			if !addr.IP.IsLinkLocalUnicast() { // they come by themselves
				fmt.Fprintf(&out, " %s", addr.IPNet)
			}
		}
		fmt.Fprintln(&out)
	}
	for _, root := range []string{d.pin, d.socket()} {
		filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error { //nolint:errcheck // nothing there is an answer
			if err == nil {
				fmt.Fprintln(&out, path)
			}
			return nil
		})
	}
	return out.String()
}

// steeringOn says which link and program are on an interface and pinned.
func (b *bed) steeringOn(name string) string {
	b.t.Helper()
	index, err := b.inside.Index(name)
	must(b.t, err)
	l, err := link.LoadPinnedLink(filepath.Join(b.pin, fmt.Sprintf("link-%d", index)), nil)
	must(b.t, err)
	defer l.Close()
	info, err := l.Info()
	must(b.t, err)
	at, err := b.inside.Netlink().LinkByName(name)
	must(b.t, err)
	if at.Attrs().Xdp == nil || at.Attrs().Xdp.ProgId != uint32(info.Program) {
		b.t.Fatalf("%s runs %+v, but the pinned link has program %d", name, at.Attrs().Xdp, info.Program)
	}
	return fmt.Sprintf("link %d", info.ID)
}

// others takes the frames without a number that pass the filter.
func (w *wire) takeOthers(filter func([]byte) bool) (frames [][]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.others {
		if filter(f) {
			frames = append(frames, f)
		}
	}
	w.others = nil
	return frames
}

// host is what the frames to the director's own kernel come from: an address for
// which the wire answers ARP.
const host = "10.0.0.50"

// kernelAnswers waits until the director's kernel answers a ping to an address.
func (b *bed) kernelAnswers(addr string) {
	b.t.Helper()
	w := b.wires[0]
	eventually(b.t, "the kernel answers a ping to "+addr, func() error {
		w.sendPacket(packettest.IPv4(host, addr).Ping().Payload(8))
		for deadline := time.Now().Add(100 * time.Millisecond); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if len(w.takeOthers(isFrom(addr, 1))) > 0 {
				return nil
			}
		}
		return fmt.Errorf("no answer")
	})
}

// isFrom finds IPv4 packets by source address and protocol.
func isFrom(addr string, protocol byte) func([]byte) bool {
	from := netip.MustParseAddr(addr).As4()
	return func(f []byte) bool {
		return len(f) >= 34 && f[12] == 8 && f[13] == 0 && f[23] == protocol && [4]byte(f[26:30]) == from
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func wantTexts(t *testing.T, what, got string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q is missing from %q", what, want, got)
		}
	}
}
