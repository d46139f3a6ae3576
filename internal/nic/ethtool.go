package nic

import (
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Rings are an interface's own descriptor rings, in descriptors.
type Rings struct {
	RX    uint32 `json:"rx"`
	TX    uint32 `json:"tx"`
	RXMax uint32 `json:"rx_max"`
	TXMax uint32 `json:"tx_max"`
}

// Channels are an interface's queues by kind.
type Channels struct {
	RX          uint32 `json:"rx"`
	TX          uint32 `json:"tx"`
	Combined    uint32 `json:"combined"`
	CombinedMax uint32 `json:"combined_max"`
	RXMax       uint32 `json:"rx_max"`
}

// Coalescing says when an interface interrupts. What the driver does not know is nil.
type Coalescing struct {
	RXMicroseconds *uint32 `json:"rx_usecs,omitempty"`
	RXFrames       *uint32 `json:"rx_frames,omitempty"`
	TXMicroseconds *uint32 `json:"tx_usecs,omitempty"`
	TXFrames       *uint32 `json:"tx_frames,omitempty"`
	AdaptiveRX     *bool   `json:"adaptive_rx,omitempty"`
	AdaptiveTX     *bool   `json:"adaptive_tx,omitempty"`
}

// ethtool asks the ethtool family about an interface. ethtool(8) is its manual,
// Documentation/networking/ethtool-netlink.rst the protocol's.
func ethtool(command uint8, header uint16, name string, more ...*nl.RtAttr) (attrs, error) {
	messages, err := call(unix.ETHTOOL_GENL_NAME, command, unix.NLM_F_ACK, append([]*nl.RtAttr{device(header, name)}, more...)...)
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		return nil, nil
	}
	return messages[0], nil
}

// device is the header attribute that names an interface.
func device(header uint16, name string) *nl.RtAttr {
	a := nl.NewRtAttr(int(header)|unix.NLA_F_NESTED, nil)
	a.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_NAME, nl.ZeroTerminated(name))
	return a
}

// ReadRings asks for the sizes of an interface's rings.
func ReadRings(name string) (*Rings, error) {
	a, err := ethtool(unix.ETHTOOL_MSG_RINGS_GET, unix.ETHTOOL_A_RINGS_HEADER, name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: rings: %w", name, err)
	}
	return &Rings{
		RX: value(a.uint32(unix.ETHTOOL_A_RINGS_RX)), TX: value(a.uint32(unix.ETHTOOL_A_RINGS_TX)),
		RXMax: value(a.uint32(unix.ETHTOOL_A_RINGS_RX_MAX)), TXMax: value(a.uint32(unix.ETHTOOL_A_RINGS_TX_MAX)),
	}, nil
}

// ReadChannels asks for the numbers of an interface's queues.
func ReadChannels(name string) (*Channels, error) {
	a, err := ethtool(unix.ETHTOOL_MSG_CHANNELS_GET, unix.ETHTOOL_A_CHANNELS_HEADER, name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: channels: %w", name, err)
	}
	return &Channels{
		RX: value(a.uint32(unix.ETHTOOL_A_CHANNELS_RX_COUNT)), TX: value(a.uint32(unix.ETHTOOL_A_CHANNELS_TX_COUNT)),
		Combined:    value(a.uint32(unix.ETHTOOL_A_CHANNELS_COMBINED_COUNT)),
		CombinedMax: value(a.uint32(unix.ETHTOOL_A_CHANNELS_COMBINED_MAX)),
		RXMax:       value(a.uint32(unix.ETHTOOL_A_CHANNELS_RX_MAX)),
	}, nil
}

// ReadFeatures asks for the offloads that are on, by the names that "ethtool -k"
// prints raw: "rx-lro", not "large-receive-offload".
func ReadFeatures(name string) (map[string]bool, error) {
	a, err := ethtool(unix.ETHTOOL_MSG_FEATURES_GET, unix.ETHTOOL_A_FEATURES_HEADER, name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: features: %w", name, err)
	}
	on := map[string]bool{}
	active, _ := a.get(unix.ETHTOOL_A_FEATURES_ACTIVE)
	bits, _ := active.get(unix.ETHTOOL_A_BITSET_BITS)
	bits.all(func(_ uint16, bit attrs) { // a set without a mask lists what is on
		if name, ok := bit.get(unix.ETHTOOL_A_BITSET_BIT_NAME); ok {
			on[unix.ByteSliceToString(name)] = true
		}
	})
	return on, nil
}

// ReadCoalescing asks when an interface interrupts.
func ReadCoalescing(name string) (*Coalescing, error) {
	a, err := ethtool(unix.ETHTOOL_MSG_COALESCE_GET, unix.ETHTOOL_A_COALESCE_HEADER, name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: coalescing: %w", name, err)
	}
	return &Coalescing{
		RXMicroseconds: a.uint32(unix.ETHTOOL_A_COALESCE_RX_USECS), RXFrames: a.uint32(unix.ETHTOOL_A_COALESCE_RX_MAX_FRAMES),
		TXMicroseconds: a.uint32(unix.ETHTOOL_A_COALESCE_TX_USECS), TXFrames: a.uint32(unix.ETHTOOL_A_COALESCE_TX_MAX_FRAMES),
		AdaptiveRX: a.bool(unix.ETHTOOL_A_COALESCE_USE_ADAPTIVE_RX), AdaptiveTX: a.bool(unix.ETHTOOL_A_COALESCE_USE_ADAPTIVE_TX),
	}, nil
}

// SetCoalescing changes what is not nil.
func SetCoalescing(name string, c Coalescing) error {
	var more []*nl.RtAttr
	number := func(kind int, v *uint32) {
		if v != nil {
			more = append(more, nl.NewRtAttr(kind, binary.NativeEndian.AppendUint32(nil, *v)))
		}
	}
	flag := func(kind int, v *bool) {
		if v != nil {
			b := []byte{0}
			if *v {
				b[0] = 1
			}
			more = append(more, nl.NewRtAttr(kind, b))
		}
	}
	number(unix.ETHTOOL_A_COALESCE_RX_USECS, c.RXMicroseconds)
	number(unix.ETHTOOL_A_COALESCE_RX_MAX_FRAMES, c.RXFrames)
	number(unix.ETHTOOL_A_COALESCE_TX_USECS, c.TXMicroseconds)
	number(unix.ETHTOOL_A_COALESCE_TX_MAX_FRAMES, c.TXFrames)
	flag(unix.ETHTOOL_A_COALESCE_USE_ADAPTIVE_RX, c.AdaptiveRX)
	flag(unix.ETHTOOL_A_COALESCE_USE_ADAPTIVE_TX, c.AdaptiveTX)
	if _, err := ethtool(unix.ETHTOOL_MSG_COALESCE_SET, unix.ETHTOOL_A_COALESCE_HEADER, name, more...); err != nil {
		return fmt.Errorf("interface %s: set coalescing: %w", name, err)
	}
	return nil
}

// Driver is who drives an interface.
type Driver struct {
	Name     string `json:"driver"`
	Version  string `json:"version,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	Bus      string `json:"bus,omitempty"` // where it is: a PCI address, for one
}

// ReadDriver asks an interface's driver for its name (ETHTOOL_GDRVINFO: netlink
// has no counterpart).
func ReadDriver(name string) (*Driver, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("interface %s: driver: %w", name, err)
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: driver: %w", name, err)
	}
	text := func(b []byte) string {
		if s := unix.ByteSliceToString(b); s != "N/A" {
			return s
		}
		return ""
	}
	return &Driver{
		Name: text(info.Driver[:]), Version: text(info.Version[:]), Firmware: text(info.Fw_version[:]), Bus: text(info.Bus_info[:]),
	}, nil
}

// fields are pointers to the fields, to treat them alike.
func (c *Coalescing) fields() (numbers [4]**uint32, flags [2]**bool) {
	return [4]**uint32{&c.RXMicroseconds, &c.RXFrames, &c.TXMicroseconds, &c.TXFrames}, [2]**bool{&c.AdaptiveRX, &c.AdaptiveTX}
}

// only is c with the fields that are set in which.
func (c Coalescing) only(which Coalescing) Coalescing {
	numbers, flags := c.fields()
	wantNumbers, wantFlags := which.fields()
	for i := range numbers {
		if *wantNumbers[i] == nil {
			*numbers[i] = nil
		}
	}
	for i := range flags {
		if *wantFlags[i] == nil {
			*flags[i] = nil
		}
	}
	return c
}

// With is c with the fields of other that are set.
func (c Coalescing) With(other Coalescing) Coalescing {
	numbers, flags := c.fields()
	otherNumbers, otherFlags := other.fields()
	for i := range numbers {
		if *otherNumbers[i] != nil {
			*numbers[i] = *otherNumbers[i]
		}
	}
	for i := range flags {
		if *otherFlags[i] != nil {
			*flags[i] = *otherFlags[i]
		}
	}
	return c
}

// lacking names a field that is set in c and not in has, or is "".
func (c Coalescing) lacking(has Coalescing) string {
	numbers, flags := c.fields()
	hasNumbers, hasFlags := has.fields()
	for i, name := range []string{"rx-usecs", "rx-frames", "tx-usecs", "tx-frames"} {
		if *numbers[i] != nil && *hasNumbers[i] == nil {
			return name
		}
	}
	for i, name := range []string{"adaptive-rx", "adaptive-tx"} {
		if *flags[i] != nil && *hasFlags[i] == nil {
			return name
		}
	}
	return ""
}
