package ring_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/ring"
	"github.com/xlvs/xlvs/ring/ringtest"
)

// Whichever step of Open goes wrong, nothing is left of it, the error says
// which step it was, and the next attempt succeeds.
func TestOpenUndoesEveryStep(t *testing.T) {
	b := newBed(t, 1)
	if err := b.sockets[0].Close(); err != nil {
		t.Fatal(err)
	}
	b.sockets = nil
	for method, says := range map[string]string{
		"Socket": "socket:", "RegisterUMEM": "register UMEM:", "SetRing": "fill ring of 64:", "Offsets": "ring offsets:",
		"MapRing": "map fill ring:", "Bind": "bind:", "ZeroCopy": "read mode back:", "Kick": "first transmission:",
	} {
		_, before := b.kernel.Leaks()
		b.kernel.FailNext(method, unix.EINVAL)
		_, err := ring.Open(b.umem, config(0, ring.Copy))
		if !errors.Is(err, unix.EINVAL) || !strings.Contains(fmt.Sprint(err), says) || !strings.Contains(fmt.Sprint(err), "fake1 queue 0") {
			t.Errorf("%s: %v", method, err)
		}
		if sockets, mappings := b.kernel.Leaks(); sockets != 0 || mappings != before {
			t.Errorf("%s: %d sockets and %d mappings left, were 0 and %d", method, sockets, mappings, before)
		}
		if free := b.umem.FreeFrames(); free != int(b.umem.Config().Frames) {
			t.Errorf("%s: %d frames are free", method, free)
		}
	}
	b.sockets = append(b.sockets, b.open(t, 0, ring.Auto))
}

func TestOpenErrorsAdvise(t *testing.T) {
	for _, test := range []struct {
		method string
		errno  unix.Errno
		mode   ring.Mode
		says   string
	}{
		{"Socket", unix.EPERM, ring.Copy, "CAP_NET_RAW"},
		{"Socket", unix.EAFNOSUPPORT, ring.Copy, "CONFIG_XDP_SOCKETS"},
		{"RegisterUMEM", unix.ENOBUFS, ring.Copy, "RLIMIT_MEMLOCK"},
		{"RegisterUMEM", unix.EPERM, ring.Copy, "CAP_IPC_LOCK"},
		{"SetRing", unix.ENOMEM, ring.Copy, "smaller rings"},
		{"Bind", unix.EOPNOTSUPP, ring.ZeroCopy, "use mode copy"},
		{"Bind", unix.EINVAL, ring.ZeroCopy, "use mode copy"},
		{"Bind", unix.EINVAL, ring.Copy, "ethtool -l"},
		{"Bind", unix.ENODEV, ring.Copy, "no such interface"},
		{"Bind", unix.ENETDOWN, ring.Copy, "set the interface up"},
		{"Kick", unix.ENXIO, ring.Generic, "no such interface"},
		{"Kick", unix.EINVAL, ring.Generic, "use mode copy or generic"},
	} {
		k := ringtest.New()
		k.AddNIC(1, 1).SetDriver("fake", true)
		u, err := k.NewUMEM(ring.UMEMConfig{Frames: 256, FrameSize: 2048})
		if err != nil {
			t.Fatal(err)
		}
		k.FailNext(test.method, test.errno)
		_, err = ring.Open(u, config(0, test.mode))
		if !errors.Is(err, test.errno) || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%s, %v: %v; want advice with %q", test.method, test.errno, err, test.says)
		}
		u.Close()
	}
}

func TestOpenRefusesBadConfigurations(t *testing.T) {
	b := newBed(t, 1)
	for says, edit := range map[string]func(*ring.SocketConfig){
		"interface index 9":              func(c *ring.SocketConfig) { c.Interface = 9 },
		"RX ring of 48":                  func(c *ring.SocketConfig) { c.RX = 48 },
		"fill ring of 131072":            func(c *ring.SocketConfig) { c.Fill = 1 << 17 },
		"smaller than the TX ring":       func(c *ring.SocketConfig) { c.Completion = 32 },
		"transmit budget 16":             func(c *ring.SocketConfig) { c.TXBudget = 16 },
		"transmit budget 128":            func(c *ring.SocketConfig) { c.TXBudget = 128 },
		"mode 9":                         func(c *ring.SocketConfig) { c.Mode = 9 },
		"this UMEM already has a socket": func(c *ring.SocketConfig) {},
		"can hold 384: too few frames": func(c *ring.SocketConfig) {
			c.Queue, c.Fill, c.TX = 1, 2*ringSize, 2*ringSize
		},
		"sockets that share its UMEM are ": func(c *ring.SocketConfig) { c.Queue, c.Mode, c.Fill, c.TX = 1, ring.ZeroCopy, 32, 32 },
	} {
		c := config(0, ring.Auto)
		edit(&c)
		if _, err := ring.Open(b.umem, c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v; want %q", c, err, says)
		}
	}
}

func TestUMEMRefusesBadConfigurations(t *testing.T) {
	for says, c := range map[string]ring.UMEMConfig{
		"frame size 1500": {Frames: 64, FrameSize: 1500},
		"headroom 12":     {Frames: 64, FrameSize: 2048, Headroom: 12},
		"headroom 1600":   {Frames: 64, FrameSize: 2048, Headroom: 1600},
		"0 frames":        {FrameSize: 2048},
		"4194305 frames":  {Frames: 1<<22 + 1, FrameSize: 2048},
	} {
		if _, err := ringtest.New().NewUMEM(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v; want %q", c, err, says)
		}
	}
	k := ringtest.New()
	k.FailNext("MapMemory", unix.ENOMEM)
	_, err := k.NewUMEM(ring.UMEMConfig{Frames: 64, FrameSize: 2048, HugePages: true})
	if !errors.Is(err, unix.ENOMEM) || !strings.Contains(fmt.Sprint(err), "vm.nr_hugepages") {
		t.Errorf("no huge pages: %v", err)
	}
}

// A queue that is being taken down by the kernel is waited for.
func TestOpenWaitsForTheQueue(t *testing.T) {
	b := newBed(t, 1)
	other, err := b.kernel.NewUMEM(b.umem.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	c := config(0, ring.Auto)
	if _, err := ring.Open(other, c); !errors.Is(err, unix.EBUSY) || !strings.Contains(fmt.Sprint(err), "held by socket") {
		t.Errorf("open on a taken queue: %v", err)
	}
	b.kernel.FailNext("Bind", unix.EBUSY)
	b.sockets[0].Close()
	c.BindTimeout = time.Minute
	s, err := ring.Open(other, c)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestMode(t *testing.T) {
	for _, test := range []struct {
		driver   string
		zeroCopy bool // whether it really can
		release  string
		asked    ring.Mode
		want     ring.Mode
		reason   string
	}{
		{"mlx5_core", true, "6.18.3-amd64", ring.Auto, ring.ZeroCopy, "from kernel 6.1 on"},
		{"mlx5_core", true, "6.0.9", ring.Auto, ring.Copy, "this is 6.0.9"},
		{"mlx5_core", false, "6.18.3", ring.Auto, ring.Copy, "should have: bind: operation not supported"},
		{"i40e", true, "7.1-rc3", ring.Auto, ring.ZeroCopy, "from kernel 5.19 on"},
		{"i40e", true, "garbage", ring.Auto, ring.Copy, "this is garbage"},
		{"ice", true, "6.18.3", ring.Auto, ring.Copy, "corrupts kernel memory"},
		{"ice", true, "6.18.3", ring.ZeroCopy, ring.ZeroCopy, "as configured"},
		{"veth", false, "6.18.3", ring.Auto, ring.Copy, "veth is not known"},
		{"", false, "6.18.3", ring.Auto, ring.Copy, "does not tell its name"},
		{"i40e", true, "6.18.3", ring.Copy, ring.Copy, "as configured"},
		{"i40e", true, "6.18.3", ring.Generic, ring.Generic, "as configured"},
	} {
		b := newBed(t, 2, func(k *ringtest.Kernel, n *ringtest.NIC) {
			k.SetRelease(test.release)
			n.SetDriver(test.driver, test.zeroCopy)
		})
		for _, s := range b.sockets {
			s.Close()
		}
		b.sockets = []*ring.Socket{b.open(t, 0, test.asked), b.open(t, 1, ring.Auto)}
		first, second := b.sockets[0], b.sockets[1]
		if first.Mode() != test.want || !strings.Contains(first.Reason(), test.reason) {
			t.Errorf("%+v: %v (%s)", test, first.Mode(), first.Reason())
		}
		if zero := test.want == ring.ZeroCopy; (second.Mode() == ring.ZeroCopy) != zero {
			t.Errorf("%+v: second socket of the UMEM: %v", test, second.Mode())
		}
	}
}

func TestAutoMode(t *testing.T) {
	k := ringtest.New()
	for i, driver := range []string{"mlx5_core", "i40e", "veth"} {
		k.AddNIC(i+1, 1).SetDriver(driver, driver != "veth")
	}
	for _, test := range []struct {
		ifindexes []int
		want      ring.Mode
		reason    string
	}{
		{[]int{1}, ring.ZeroCopy, "fake1: driver mlx5_core is sound"},
		{[]int{1, 2}, ring.ZeroCopy, "fake1: driver mlx5_core is sound"},
		{[]int{1, 3, 2}, ring.Copy, "fake3: driver veth is not known"},
	} {
		mode, reason, err := ring.AutoModeOn(k, test.ifindexes...)
		if err != nil || mode != test.want || !strings.Contains(reason, test.reason) {
			t.Errorf("%v: %v (%s), %v", test.ifindexes, mode, reason, err)
		}
	}
	if _, _, err := ring.AutoModeOn(k, 1, 9); !errors.Is(err, unix.ENODEV) {
		t.Errorf("no such interface: %v", err)
	}
	if _, _, err := ring.AutoMode(1 << 20); !errors.Is(err, unix.ENODEV) {
		t.Errorf("no such interface of this system: %v", err)
	}
}

// The socket that a UMEM is shared through may be dead without knowing. The next
// one then registers the UMEM anew, and the dead one hears of it.
func TestOpenSharesWithALiveSocketOnly(t *testing.T) {
	b := newBed(t, 1)
	second := b.kernel.AddNIC(2, 1)
	b.nic.Delete()
	c := config(0, ring.Auto)
	c.Interface, c.Fill, c.TX, c.RX = 2, 32, 32, 32
	s, err := ring.Open(b.umem, c)
	if err != nil {
		t.Fatal(err)
	}
	if s.Interface() != 2 || s.Queue() != 0 {
		t.Errorf("socket of interface %d queue %d", s.Interface(), s.Queue())
	}
	b.sockets = append(b.sockets, s)
	if err := b.sockets[0].Flush(); !errors.Is(err, ring.ErrDown) {
		t.Errorf("flush of the dead socket: %v", err)
	}
	send(t, b, s, 5)
	if got := len(second.Sent(0)); got != 5 {
		t.Errorf("sent %d", got)
	}
}

// A link that is down is no reason not to open.
func TestOpenOnALinkThatIsDown(t *testing.T) {
	b := newBed(t, 1, func(_ *ringtest.Kernel, n *ringtest.NIC) { n.SetUp(false) })
	if err := b.sockets[0].Check(); !errors.Is(err, ring.ErrLinkDown) {
		t.Errorf("check: %v", err)
	}
	b.nic.SetUp(true)
	if err := b.sockets[0].Check(); err != nil {
		t.Error(err)
	}
	send(t, b, b.sockets[0], 5)
}

func TestUMEMClosesAfterItsSockets(t *testing.T) {
	b := newBed(t, 1)
	if err := b.umem.Close(); err == nil || !strings.Contains(err.Error(), "fake1 queue 0 is open") {
		t.Errorf("close with an open socket: %v", err)
	}
	if _, ok := b.umem.Alloc(2048 - 256 + 1); ok {
		t.Error("a frame of 2048 has room for more than 1792 bytes")
	}
	for range b.umem.FreeFrames() {
		d, _ := b.umem.Alloc(1792)
		if len(b.umem.Bytes(d)) != 1792 {
			t.Fatal("no bytes")
		}
		defer b.umem.Free(d)
	}
	if _, ok := b.umem.Alloc(1); ok {
		t.Error("a frame too many")
	}
}

func TestModeText(t *testing.T) {
	for _, m := range []ring.Mode{ring.Auto, ring.ZeroCopy, ring.Copy, ring.Generic} {
		text, _ := m.MarshalText()
		var got ring.Mode
		if err := got.UnmarshalText(text); err != nil || got != m {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := ring.ParseMode("native"); err == nil || !strings.Contains(err.Error(), `"native"`) {
		t.Errorf("native: %v", err)
	}
}

// On a kernel that cannot be told to send more, the socket works all the same.
func TestOldKernelHasItsBudget(t *testing.T) {
	b := newBed(t, 1, func(k *ringtest.Kernel, _ *ringtest.NIC) { k.SetOld(true) })
	s := b.sockets[0]
	if s.TXBudget() != 32 {
		t.Errorf("budget %d", s.TXBudget())
	}
	send(t, b, s, 64)
	if got := len(b.nic.Sent(0)); got != 64 {
		t.Errorf("sent %d of 64 frames", got)
	}
	if kicks := b.nic.Kicks(); kicks != 1+2 { // one by Open
		t.Errorf("%d kicks", kicks)
	}
}

// send transmits and flushes n frames of the caller's own.
func send(t *testing.T, b *bed, s *ring.Socket, n int) {
	t.Helper()
	batch := make([]ring.Desc, n)
	for i := range batch {
		var ok bool
		if batch[i], ok = b.umem.Alloc(64); !ok {
			t.Fatal("no frame")
		}
		copy(b.umem.Bytes(batch[i]), numbered(uint64(i)))
	}
	if took := s.Transmit(batch); took != n {
		t.Fatalf("transmitted %d of %d", took, n)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
}
