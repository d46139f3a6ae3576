package wire

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// startSwap attaches the program that sends everything back.
func startSwap(_ context.Context, b *bed, o *Options) (*running, error) {
	var programs wireObjects
	if err := loadWireObjects(&programs, nil); err != nil {
		return nil, fmt.Errorf("load program: %w", err)
	}
	defer programs.Close() // the link keeps the program, and the program its maps
	want := expected(false, 0)
	if err := programs.Expectation.Put(uint32(0), &want); err != nil {
		return nil, fmt.Errorf("set up program: %w", err)
	}
	l, err := b.far.attach(programs.Swap, o.attachFlags())
	if err != nil {
		return nil, err
	}
	return &running{mode: "native", undo: []func() error{l.Close}}, nil
}

// startNftDSR is direct routing as nftables can do it: the server's MAC address by
// hash of the client, and back out on netdev ingress, ahead of the IP stack.
func startNftDSR(ctx context.Context, b *bed, _ *Options) (*running, error) {
	if b.near == nil {
		return nil, errOnHost
	}
	var macs []string
	for i := range b.servers {
		macs = append(macs, fmt.Sprintf("%d : %s", i, b.near.mac)) // all are at the near end
	}
	return startNft(ctx, b, fmt.Sprintf(`table netdev xlvs_bench {
	chain ingress {
		type filter hook ingress device %[1]s priority 0;
		ip daddr %[2]s meta l4proto { tcp, udp } th dport %[3]d ether saddr set %[4]s ether daddr set jhash ip saddr mod %[5]d map { %[6]s } fwd to %[1]s
	}
}`, b.far.device, b.vip.Addr(), b.vip.Port(), b.far.mac, len(macs), strings.Join(macs, ", ")))
}

// startNftNAT is NAT by nftables: a server by hash of the client, kept by conntrack.
func startNftNAT(ctx context.Context, b *bed, _ *Options) (*running, error) {
	var servers []string
	for i, s := range b.servers {
		servers = append(servers, fmt.Sprintf("%d : %s", i, s))
	}
	if err := router(b); err != nil {
		return nil, err
	}
	return startNft(ctx, b, fmt.Sprintf(`table ip xlvs_bench {
	chain prerouting {
		type nat hook prerouting priority dstnat;
		ip daddr %s meta l4proto { tcp, udp } th dport %d dnat to jhash ip saddr mod %d map { %s }
	}
}`, b.vip.Addr(), b.vip.Port(), len(servers), strings.Join(servers, ", ")))
}

// startNft loads a ruleset in a namespace made for the run, with which it goes.
func startNft(ctx context.Context, b *bed, rules string) (*running, error) {
	if _, err := exec.LookPath("nft"); err != nil {
		return nil, unavailablef("no nft here: apt-get install nftables, or --install")
	}
	if err := b.far.command(ctx, rules, "nft", "-f", "-"); err != nil {
		return nil, fmt.Errorf("load rules: %w", err)
	}
	return &running{}, nil
}

// errOnHost is why kernel balancers are not put on a real interface.
var errOnHost = unavailablef("it would change the host's own rules and routes: only in namespaces made for the run")

// router lets the far end forward what comes from the clients by the interface
// that it came by.
func router(b *bed) error {
	ns := b.far.ns
	if ns == nil {
		return errOnHost
	}
	var errs []error
	for _, key := range []string{"all", b.far.device} {
		errs = append(errs,
			ns.Sysctl("net/ipv4/conf/"+key+"/rp_filter", "0"),
			ns.Sysctl("net/ipv4/conf/"+key+"/send_redirects", "0"))
	}
	errs = append(errs,
		ns.Sysctl("net/ipv4/ip_forward", "1"),
		ns.AddRoute(clients, nearAddress.Addr()))
	return errors.Join(errs...)
}

// startIPVS is the kernel's own balancer, where the kernel has it: scheduler and
// persistence are the director's. It is spared the marks, and has a service for
// each protocol instead.
func startIPVS(ctx context.Context, b *bed, _ *Options) (*running, error) {
	if _, err := exec.LookPath("ipvsadm"); err != nil {
		return nil, unavailablef("no ipvsadm here: apt-get install ipvsadm, on a kernel with ip_vs")
	}
	_ = exec.CommandContext(ctx, "modprobe", "ip_vs").Run() // it may be there without
	if _, err := os.Stat("/proc/net/ip_vs"); errors.Is(err, fs.ErrNotExist) {
		return nil, unavailablef("this kernel has no ip_vs; one that has: internal/vm")
	}
	if err := router(b); err != nil {
		return nil, err
	}
	if err := b.far.ns.AddAddr("lo", netip32(b.vip.Addr())); err != nil {
		return nil, err
	}
	var rules strings.Builder
	for _, protocol := range []string{"-t", "-u"} {
		fmt.Fprintf(&rules, "-A %s %s -s wrr -p 360\n", protocol, b.vip)
		for _, s := range b.servers {
			fmt.Fprintf(&rules, "-a %s %s -r %s -g\n", protocol, b.vip, s)
		}
	}
	if err := b.far.command(ctx, rules.String(), "ipvsadm", "-R"); err != nil {
		return nil, err
	}
	return &running{}, nil
}
