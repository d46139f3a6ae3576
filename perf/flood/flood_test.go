package flood

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/xlvs/xlvs/packet"
)

// TestFramesAreSound holds every kind's frames to the parser and to full checksums.
func TestFramesAreSound(t *testing.T) {
	from, to := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	for _, kind := range Kinds() {
		m, err := newMould(kind, from, to)
		if err != nil {
			t.Fatal(err)
		}
		s := &stream{kind: kind, state: seed}
		for range 1000 {
			f := s.next()
			b := make([]byte, 2048)
			b = b[:m.lay(b, f)]
			var p packet.Parsed
			if bad := packet.Parse(b, &p); bad != packet.OK || p.Kind != packet.KindFlow {
				t.Fatalf("%s: %v, kind %v: % x", kind, bad, p.Kind, b)
			}
			if p.Tuple.SrcPort != f.port || p.Tuple.DstPort != f.to || p.Flags != f.flags && !m.udp {
				t.Fatalf("%s: %+v became %+v", kind, f, p)
			}
			l4 := b[p.L4 : int(p.L3)+int(p.Len)]
			sum := packet.PseudoHeader(p.Tuple.Src, p.Tuple.Dst, p.Tuple.Protocol, len(l4)).Add(l4).Checksum()
			if sum != 0 {
				t.Fatalf("%s: checksum is off by %#x: % x", kind, sum, b)
			}
			if !m.v6 && packet.Sum(0).Add(b[p.L3:p.L4]).Checksum() != 0 {
				t.Fatalf("%s: IPv4 header's checksum is wrong: % x", kind, b)
			}
		}
	}
}

// TestSecondFramesFollowTheFirst: each sender of such a flood comes twice, the second
// time after lag others.
func TestSecondFramesFollowTheFirst(t *testing.T) {
	for kind, flags := range map[string]uint8{kindSYNACK: packet.ACK, kindSYNACK6: packet.ACK, kindUDP2: packet.SYN} {
		s := &stream{kind: kind, state: seed}
		var first []flow
		for i := range 3 * lag {
			f, second := s.next(), s.next()
			first = append(first, f)
			if i < lag {
				continue
			}
			want := first[i-lag]
			want.flags = flags
			if second != want {
				t.Fatalf("%s: pair %d ends with %+v, want %+v", kind, i, second, want)
			}
		}
	}
}

// TestRun is a short flood of an empty table: everybody is served.
func TestRun(t *testing.T) {
	program := filepath.Join(t.TempDir(), "xlvs")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/xlvs").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, link := range []string{ownLink, sharedLink} {
		found, err := Run(t.Context(), Options{
			Kinds: []string{kindSYNACK}, Rates: []int{2000}, Links: []string{link}, Program: program, Express: "auto",
			Duration: time.Second, Before: time.Second, After: time.Second, Long: 5, New: 10, Clients: 5,
		})
		if err != nil {
			t.Fatal(err)
		}
		r := found.Runs[0]
		t.Logf("%+v", r)
		if r.Sent == 0 || r.Open != 5 || r.Before.Served == 0 || r.During.Served == 0 || r.After.Served == 0 {
			t.Errorf("%s: %+v", link, r)
		}
		if r.Lost+r.Moved+r.Elsewhere != 0 {
			t.Errorf("%s: %d lost, %d moved, %d elsewhere of a table with room", link, r.Lost, r.Moved, r.Elsewhere)
		}
	}
}

func TestOptionsThatCannotBeMeasured(t *testing.T) {
	good := Options{Kinds: Kinds(), Rates: []int{0}, Links: []string{ownLink}, Duration: time.Second, Clients: 1}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(o *Options){
		"kind":     func(o *Options) { o.Kinds = []string{"rain"} },
		"link":     func(o *Options) { o.Links = []string{"none"} },
		"rate":     func(o *Options) { o.Rates = []int{-1} },
		"nothing":  func(o *Options) { o.Kinds = nil },
		"clients":  func(o *Options) { o.Clients = maxClients + 1 },
		"long":     func(o *Options) { o.Long = -1 },
		"duration": func(o *Options) { o.Duration = 0 },
		"before":   func(o *Options) { o.Before = -1 },
	} {
		o := good
		if spoil(&o); o.Validate() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		println("these tests make network namespaces: be root")
		os.Exit(1)
	}
	os.Exit(m.Run())
}
