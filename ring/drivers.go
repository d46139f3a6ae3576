package ring

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/xlvs/xlvs/ring/internal/abi"
)

// zeroCopyDriver is what is known of a driver's zero copy.
type zeroCopyDriver struct {
	floor [2]int // first kernel release that is sound; {} if none is known to be
	note  string
}

// zeroCopyDrivers is who gets zero copy in mode Auto, as of November 2026. A
// driver enters with a floor when somebody runs it so in production or in a
// permanent test bed and says so in public; that is where these come from. All
// others get copy: a driver that copies is slower, a driver that is broken
// corrupts memory. Mode ZeroCopy overrides the table.
var zeroCopyDrivers = map[string]zeroCopyDriver{
	"mlx5_core": {floor: [2]int{6, 1}, note: "keep the kernel current: CVE-2026-99078, CVE-2026-99079"},
	"i40e":      {floor: [2]int{5, 19}},

	"ice":        {note: "corrupts kernel memory, withdrawn elsewhere in September 2026"},
	"ena":        {note: "reset and corruption reported, out-of-tree only"},
	"gve":        {note: "leaks frames: CVE-2026-99046, CVE-2026-99047"},
	"igc":        {note: "CVE-2024-26853, and no report of use"},
	"igb":        {note: "young, and no report of use"},
	"ixgbe":      {note: "retrains its link for 10 s when bound"},
	"virtio_net": {note: "young, depends on the host"},
}

// AutoMode tells what Auto means for sockets that share a UMEM and are on these
// interfaces, and why: zero copy only if every driver is known to be sound with
// it, for the sockets of a UMEM have one mode.
func AutoMode(ifindexes ...int) (Mode, string, error) { return autoModeOn(abi.Linux{}, ifindexes) }

func autoModeOn(k abi.Kernel, ifindexes []int) (mode Mode, reason string, err error) {
	mode = Copy
	for i, ifindex := range ifindexes {
		name, driver, err := k.Interface(ifindex)
		if err != nil {
			return Auto, "", err
		}
		m, why := autoMode(driver, k.Release())
		if i == 0 || m == Copy {
			mode, reason = m, name+": "+why
		}
		if m == Copy {
			break
		}
	}
	return mode, reason, nil
}

func autoMode(driver, release string) (Mode, string) {
	known, ok := zeroCopyDrivers[driver]
	switch {
	case driver == "":
		return Copy, "the driver does not tell its name"
	case !ok:
		return Copy, fmt.Sprintf("driver %s is not known to be sound with zero copy", driver)
	case known.floor == [2]int{}:
		return Copy, fmt.Sprintf("driver %s is not sound with zero copy: %s", driver, known.note)
	case !atLeast(release, known.floor):
		return Copy, fmt.Sprintf("driver %s is sound with zero copy from kernel %d.%d on, this is %s",
			driver, known.floor[0], known.floor[1], release)
	}
	reason := fmt.Sprintf("driver %s is sound with zero copy from kernel %d.%d on", driver, known.floor[0], known.floor[1])
	if known.note != "" {
		reason += "; " + known.note
	}
	return ZeroCopy, reason
}

// atLeast compares a kernel release, "6.18.4-amd64" for one, with a floor. One
// that cannot be read is below any.
func atLeast(release string, floor [2]int) bool {
	majorText, rest, _ := strings.Cut(release, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	major, err1 := strconv.Atoi(majorText)
	minor, err2 := strconv.Atoi(rest[:end])
	if err1 != nil || err2 != nil {
		return false
	}
	return major > floor[0] || major == floor[0] && minor >= floor[1]
}
