package config

import (
	"bytes"
	"net"
	"slices"
)

// maxMACs is how many further addresses an interface may have.
const maxMACs = 64

// macs reads MAC addresses, each once; they are sorted.
func (v value) macs() [][6]byte {
	var all [][6]byte
	first := map[[6]byte]value{}
	items := v.oneOrMore()
	if len(items) > maxMACs {
		v.errorf("%s has %d addresses: write at most %d", v.subject(), len(items), maxMACs)
		return nil
	}
	for _, item := range items {
		mac, ok := item.mac()
		if !ok {
			continue
		}
		if earlier, ok := first[mac]; ok {
			item.conflictf(earlier, "first here",
				"address %s is listed twice, first on line %d: remove one", macName(mac), earlier.place.line)
			continue
		}
		first[mac] = item
		all = append(all, mac)
	}
	slices.SortFunc(all, func(a, b [6]byte) int { return bytes.Compare(a[:], b[:]) })
	return all
}

// mac reads the MAC address of a station.
func (v value) mac() (mac [6]byte, ok bool) {
	s, ok := v.text()
	if !ok {
		return mac, false
	}
	hardware, err := net.ParseMAC(s)
	if err != nil || len(hardware) != len(mac) {
		v.errorf("%s %s is not a MAC address: write six bytes such as 00:00:5e:00:01:33",
			v.subject(), quote(s))
		return mac, false
	}
	mac = [6]byte(hardware)
	switch {
	case mac == [6]byte{}:
		v.errorf("%s %s is no station's address: write the one that frames for this host have",
			v.subject(), s)
	case mac[0]&1 != 0: // the I/G bit (IEEE 802, 8.2.2)
		v.errorf("%s %s is a group's address, and frames to groups are not balanced: "+
			"write the address of one station", v.subject(), s)
	default:
		return mac, true
	}
	return mac, false
}

// macName is a MAC address as in a file.
func macName(mac [6]byte) string { return net.HardwareAddr(mac[:]).String() }
