package vip

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// The frames, byte by byte.
func TestFrames(t *testing.T) {
	t.Parallel()
	mac := [6]byte{2, 0, 0, 0, 0, 1}
	for _, f := range []struct {
		name string
		got  []byte
		want string
	}{
		{"ARP request", gratuitousARP(arpRequest, vip4, mac),
			"ffffffffffff 020000000001 0806" +
				"0001 0800 06 04 0001" + // Ethernet, IPv4, request
				"020000000001 cb00710a" + // sender
				"000000000000 cb00710a" + // target
				strings.Repeat("00", 18)},
		{"ARP reply", gratuitousARP(arpReply, vip4, mac),
			"ffffffffffff 020000000001 0806" +
				"0001 0800 06 04 0002" +
				"020000000001 cb00710a" +
				"020000000001 cb00710a" +
				strings.Repeat("00", 18)},
		{"neighbour advertisement", advertisement(vip6, mac),
			"333300000001 020000000001 86dd" +
				"60000000 0020 3a ff" + // length 32, ICMPv6, hop limit 255
				"20010db8000000000000000000000010" +
				"ff020000000000000000000000000001" +
				"88 00 f90c 20000000" + // advertisement, checksum, override
				"20010db8000000000000000000000010" +
				"02 01 020000000001"}, // target link-layer address
	} {
		want, err := hex.DecodeString(strings.ReplaceAll(f.want, " ", ""))
		must(t, err)
		if !bytes.Equal(f.got, want) {
			t.Errorf("%s:\n got %x\nwant %x", f.name, f.got, want)
		}
	}
}

// The client's link sees each address announced as often as asked for, and
// no other packet in its name, though it is on another interface.
func TestAnnouncementsOnTheLink(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	capture := b.capture()
	m := b.open()
	must(t, m.Set(vips, "lo", []string{"eth0"}))
	b.wantOn("eth0", own...)
	mac := b.directorMAC()
	want := []string{
		"ARP request 203.0.113.10 is at " + mac,
		"ARP reply 203.0.113.10 is at " + mac,
		"NA 2001:db8::10 is at " + mac,
	}
	seen := make(map[string]int)
	eventually(t, func() (bool, string) {
		capture(seen)
		done := m.quiet()
		for _, w := range want {
			done = done && seen[w] == m.repeats
		}
		return done, fmt.Sprintf("seen %v, want each of %q %d times", seen, want, m.repeats)
	})
	if len(seen) != len(want) {
		t.Errorf("more was announced than %q: %v", want, seen)
	}
}

// capture opens a packet socket on the client's link, and returns what adds
// the announcements that it has received to a tally.
func (b *bed) capture() func(map[string]int) {
	b.t.Helper()
	var fd int
	must(b.t, b.client.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, int(networkOrder(unix.ETH_P_ALL)))
		return err
	}))
	b.t.Cleanup(func() { unix.Close(fd) })
	return func(tally map[string]int) {
		frame := make([]byte, 2048)
		for {
			n, _, err := unix.Recvfrom(fd, frame, 0)
			if err != nil {
				return
			}
			if what := announcementIn(frame[:n]); what != "" {
				tally[what]++
			}
		}
	}
}

// announcementIn says what a frame announces about a virtual address, by
// another parser than ours; "" if nothing.
func announcementIn(frame []byte) string {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	eth := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok {
		ip, _ := netip.AddrFromSlice(arp.SourceProtAddress)
		if ip != vip4 || !bytes.Equal(arp.SourceProtAddress, arp.DstProtAddress) || eth.DstMAC.String() != "ff:ff:ff:ff:ff:ff" {
			return ""
		}
		kind := map[uint16]string{1: "request", 2: "reply"}[arp.Operation]
		return fmt.Sprintf("ARP %s %s is at %s", kind, ip, net.HardwareAddr(arp.SourceHwAddress))
	}
	na, ok := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	if !ok || !na.Override() || na.Solicited() || na.TargetAddress.String() != vip6.String() || len(na.Options) != 1 {
		return ""
	}
	return fmt.Sprintf("NA %s is at %s", na.TargetAddress, eth.SrcMAC)
}
