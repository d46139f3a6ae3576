package ring

import "fmt"

// Mode is how frames pass between an interface and the UMEM.
type Mode uint8

const (
	// Auto is zero copy for the drivers that are known to be sound with it, and
	// copy for all others. See AutoMode.
	Auto Mode = iota
	// ZeroCopy: the interface reads and writes the UMEM itself (XDP_ZEROCOPY).
	ZeroCopy
	// Copy: the kernel copies each frame, from the driver's XDP hook (XDP_COPY).
	Copy
	// Generic: the kernel copies each frame, and the XDP program is attached
	// in generic (skb) mode. To the socket this is Copy; who attaches the program
	// sees to the rest.
	Generic
)

var modeNames = [...]string{Auto: "auto", ZeroCopy: "zerocopy", Copy: "copy", Generic: "generic"}

func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// ParseMode reads what String writes.
func ParseMode(s string) (Mode, error) {
	for m, name := range modeNames {
		if s == name {
			return Mode(m), nil
		}
	}
	return Auto, fmt.Errorf("mode %q: want auto, zerocopy, copy or generic", s)
}

// MarshalText and UnmarshalText are String and ParseMode, for configuration files.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMode.
func (m *Mode) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMode(string(text))
	return err
}
