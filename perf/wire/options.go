package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"
)

// Options say what to measure. Zero values are the defaults.
type Options struct {
	Opponents []string // names; default xlvs, asavie, nft-dsr, nft-nat, testpmd, xdp-tx
	Queues    []int    // default 1
	Repeat    int      // rounds; default 5

	// What to measure beside the throughput.
	LossFree  bool
	Latency   bool
	Fresh     bool      // new connections
	Loads     []float64 // for the latency, shares of the reference's capacity; default 0.5
	Reference string    // whose capacity that is; default the first of Opponents

	Duration   time.Duration // of the throughput and latency trials; default 2 s
	Step       time.Duration // of a step of the search; default 1 s
	Tolerance  float64       // share of frames that may be lost in the search; default 1e-4
	Resolution float64       // of the search, as a share of the throughput; default 0.02

	Size  int     // of a frame, bytes; default 64
	Flows int     // default 16,000
	Mix   float64 // share of new flows in the throughput trials; default 0

	Generators []int // CPUs of the generators, one a queue in turn; default from 0 up
	Balancers  []int // CPUs of the balancer's workers; default from behind the generators up

	// On a real interface nothing is measured but what it sends; see Generate. Such a
	// run needs all of these.
	Interface string        // instead of namespaces made for the run
	Servers   []string      // addresses of the generator's box
	VIP       string        // address and port that it sends to
	Hold      time.Duration // how long each opponent is there; default 30 s

	Install  bool     // have apt-get install what an opponent needs
	Self     []string // a command that is xlvs; default this program
	Director Director

	Progress func(Progress) // called as the run goes on; may be nil

	vip     netip.AddrPort // what VIP and Servers say
	servers []netip.Addr
}

// Progress is how far a run is.
type Progress struct {
	Done, Total int    // steps
	Step        string // what is being done
	Finished    string // a line about what was measured, or empty
}

func (o *Options) setDefaults() {
	setDefault(&o.Repeat, 5)
	setDefault(&o.Duration, 2*time.Second)
	setDefault(&o.Step, time.Second)
	setDefault(&o.Hold, 30*time.Second)
	setDefault(&o.Tolerance, 1e-4)
	setDefault(&o.Resolution, 0.02)
	setDefault(&o.Size, smallestFrame)
	setDefault(&o.Flows, 16000)
	if len(o.Opponents) == 0 {
		o.Opponents = []string{"xlvs", "asavie", "nft-dsr", "nft-nat", "testpmd", "xdp-tx"}
	}
	if len(o.Queues) == 0 {
		o.Queues = []int{1}
	}
	if len(o.Loads) == 0 {
		o.Loads = []float64{0.5}
	}
	setDefault(&o.Reference, o.Opponents[0])
}

// xlvs is a command of xlvs: of Self, or of this very program, which may have been
// replaced on disk.
func (o *Options) xlvs(args ...string) *exec.Cmd {
	if len(o.Self) > 0 {
		return exec.Command(o.Self[0], append(slices.Clone(o.Self[1:]), args...)...)
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	return cmd
}

func setDefault[T comparable](value *T, to T) {
	var zero T
	if *value == zero {
		*value = to
	}
}

// Validate tells all that is wrong with the options, before anything is made.
func (o *Options) Validate() error {
	o.setDefaults()
	var errs []error
	for _, name := range o.Opponents {
		if _, ok := findOpponent(name); !ok {
			names, _ := Opponents()
			errs = append(errs, fmt.Errorf("opponent %q: want one of %v", name, names))
		}
	}
	if !slices.Contains(o.Opponents, o.Reference) {
		errs = append(errs, fmt.Errorf("reference %q: want one of the opponents %v", o.Reference, o.Opponents))
	}
	for _, n := range o.Queues {
		if n < 1 || n > mostStreams {
			errs = append(errs, fmt.Errorf("%d queues: want 1 to %d", n, mostStreams))
		}
	}
	for _, load := range o.Loads {
		if load <= 0 || load > 1 {
			errs = append(errs, fmt.Errorf("load %v: want a share above 0, up to 1", load))
		}
	}
	if o.Repeat < 1 || o.Repeat > 1000 {
		errs = append(errs, fmt.Errorf("%d rounds: want 1 to 1000", o.Repeat))
	}
	for _, d := range []time.Duration{o.Duration, o.Step} {
		if d < 100*time.Millisecond || d > time.Hour {
			errs = append(errs, fmt.Errorf("a trial of %v: want 100ms to 1h", d))
		}
	}
	if o.Tolerance < 0 || o.Tolerance >= 1 || o.Resolution < 0.001 || o.Resolution >= 1 {
		errs = append(errs, fmt.Errorf("tolerance %v and resolution %v: want shares, the latter 0.001 or more", o.Tolerance, o.Resolution))
	}
	for _, cpu := range append(slices.Clone(o.Generators), o.Balancers...) {
		if cpu < 0 || cpu >= mostCPUs {
			errs = append(errs, fmt.Errorf("cpu %d: want 0 to %d", cpu, mostCPUs-1))
		}
	}
	errs = append(errs, o.validateInterface())
	probe := Traffic{Size: o.Size, Flows: o.Flows, Fresh: o.Mix, VIP: virtual, Source: make([]byte, 6), Destination: make([]byte, 6)}
	return errors.Join(append(errs, probe.Validate())...)
}

const (
	mostStreams = 64 // MAX_STREAMS in wire.c
	mostCPUs    = 1024
)

// generatorCPUs has generator i on a CPU from which a veth takes frames to queue
// i: it goes by the number of the CPU.
func (o *Options) generatorCPUs(queues int) []int {
	return take(o.Generators, queues, 0)
}

// balancerCPUs is where worker i of a balancer is: behind the generators, as long
// as there are CPUs.
func (o *Options) balancerCPUs(queues int) []int {
	return take(o.Balancers, queues, queues)
}

// take is n CPUs: those given, in turn, or all of the machine's from first on.
func take(given []int, n, first int) []int {
	cpus := make([]int, n)
	for i := range cpus {
		if len(given) > 0 {
			cpus[i] = given[i%len(given)]
		} else {
			cpus[i] = (first + i) % runtime.NumCPU()
		}
	}
	return cpus
}
