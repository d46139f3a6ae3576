package wire

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// startTestpmd runs DPDK's test application on its AF_XDP port.
func startTestpmd(ctx context.Context, b *bed, o *Options) (*running, error) {
	if b.far.ns != nil && b.far.queues > 1 {
		return nil, unavailablef("DPDK's AF_XDP port wants combined queues for more than one, and a veth has none")
	}
	path, err := findTestpmd()
	if err != nil && o.Install {
		if err := install(ctx, "dpdk-dev"); err != nil {
			return nil, unavailablef("no dpdk-testpmd: %v", err)
		}
		path, err = findTestpmd()
	}
	if err != nil {
		return nil, unavailablef("no dpdk-testpmd here: apt-get install dpdk-dev, or --install")
	}
	dir, err := os.MkdirTemp("", "xlvs-testpmd")
	if err != nil {
		return nil, err
	}
	r := &running{mode: o.ownChoice(), undo: []func() error{func() error { return os.RemoveAll(dir) }}}
	cmd := exec.Command(path, testpmdArguments(b, o)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+dir, "XDG_RUNTIME_DIR="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, undone(r))
	}
	if r.child, err = b.far.start(cmd, nil); err != nil {
		return nil, fmt.Errorf("%w%s", err, undone(r))
	}
	// It forwards once told to, and ends when its input does.
	r.undo = append(r.undo, func() error { in.Close(); return nil }) // it is closed when the process ends
	if _, err := io.WriteString(in, "start\n"); err != nil {
		return nil, fmt.Errorf("%w%s", err, undone(r))
	}
	return r, nil
}

// testpmdArguments have one core forward each queue, and the command line on the
// generator's.
func testpmdArguments(b *bed, o *Options) []string {
	cpus := o.balancerCPUs(b.far.queues)
	lcores := []string{fmt.Sprintf("0@%d", o.generatorCPUs(b.far.queues)[0])}
	for i, cpu := range cpus {
		lcores = append(lcores, fmt.Sprintf("%d@%d", i+1, cpu))
	}
	return []string{
		"--lcores", strings.Join(lcores, ","), "--main-lcore", "0",
		"--no-pci", "--no-huge", "-m", "512", "--no-shconf", "--no-telemetry",
		"--vdev", fmt.Sprintf("net_af_xdp0,iface=%s,start_queue=0,queue_count=%d", b.far.device, b.far.queues),
		"--", "-i", "--forward-mode=macswap", "--total-num-mbufs=16384",
		fmt.Sprintf("--nb-cores=%d", len(cpus)), fmt.Sprintf("--rxq=%d", b.far.queues), fmt.Sprintf("--txq=%d", b.far.queues),
	}
}

func findTestpmd() (string, error) { return exec.LookPath("dpdk-testpmd") }

// install has Debian's package manager install a package.
func install(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("install %s by hand: there is no apt-get", name)
	}
	for _, args := range [][]string{{"update", "-q"}, {"install", "-y", "-q", "--no-install-recommends", name}} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			return fmt.Errorf("apt-get %s: %w: %s", args[0], err, lines[len(lines)-1])
		}
	}
	return nil
}
