package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// Options are what Run needs. Out, Err and Executable must be set.
type Options struct {
	// JSON prints one Result on Out and nothing else; what people read goes to Err.
	JSON bool
	// Keep leaves the network, the hosts and the director up.
	Keep bool
	// Out takes the report, Err the progress where Out must not.
	Out, Err io.Writer
	// Executable is a program that runs a director for the arguments "run -c
	// FILE", and [Serve] for [HostCommand] and its arguments.
	Executable string
	// Name begins the names of the namespaces and is the name of the folders in
	// /run and on bpffs; "" is "xlvs-demo". Demos of two names can run at once.
	Name string
}

// deadline is far beyond what the demo takes; something hangs if it is reached.
const deadline = 90 * time.Second

// Run runs the demo: it first removes what an earlier one of the same name left.
// A demo that cannot be set up is a Result with a check that failed. The error
// is for what is no result: no root, another demo at work, an Out that fails.
func Run(ctx context.Context, o Options) (Result, error) {
	if os.Geteuid() != 0 {
		return Result{}, errors.New("the demo makes network namespaces and needs root: run it with sudo")
	}
	if o.Name == "" {
		o.Name = defaultName
	}
	release, err := claim(o.Name)
	if err != nil {
		return Result{}, err
	}
	defer release.Close()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	human := o.Out
	if o.JSON {
		human = o.Err
	}
	d := &demo{options: o, human: human}
	result := d.run(ctx)
	if o.JSON {
		return result, writeJSON(o.Out, result)
	}
	return result, nil
}

// demo is one run.
type demo struct {
	options Options
	human   io.Writer
	report  *reporter
	bed     *bed

	mu     sync.Mutex
	result map[string]Check // by name
}

// The stages of the proof, one after the other; the checks of a stage run at
// the same time, unless one needs what another has done.
var (
	atFirst = []check{
		{"each client meets one server on HTTP and HTTPS", oneServer},
		{"an FTP session's control and data connections meet one server", ftpSessions},
		{"UDP datagrams come back", echoes},
		{"ping and port 22 of the virtual addresses reach the director's own kernel", ownKernel},
	}
	background = check{"a template expires after its time and the client is scheduled anew", expiry}
	then       = []check{
		{"neighbours in one /24, or one /64, share a server", neighbours},
		{"new clients spread by weight", spread},
		{"a drained server keeps its clients and gets no new ones", drain},
		{"a reload under traffic loses nothing and moves nobody", underReload},
		{"known connections take the express lane", expressLane},
	}
	atLast = []check{
		{"after SIGKILL open downloads go on, and the director's own kernel is reachable", afterKill},
		{"a new start carries on the open downloads without one reset", afterStart},
		{"clients keep their server over the restart", keptServers},
	}
)

// setUp is the check that stands for whatever comes before the proof.
const setUp = "the network, the real servers and the director come up"

// takenDown is the last check, unless the demo is to be kept up.
var takenDown = check{"a clean stop gives everything back", cleanStop}

// order is the names of all checks as the result lists them.
func (o Options) order() []string {
	checks := slices.Concat([]check{{name: setUp}}, atFirst, then, []check{background}, atLast)
	if !o.Keep {
		checks = append(checks, takenDown)
	}
	names := make([]string, len(checks))
	for i, c := range checks {
		names[i] = c.name
	}
	return names
}

// run builds, proves, reports and clears away.
func (d *demo) run(ctx context.Context) Result {
	d.result = map[string]Check{}
	d.report = newReporter(d.human, len(d.options.order()), d.counts)
	d.report.printf("xlvs demo: a director, %d real servers and their clients, in network namespaces\n\n", len(servers))
	ready := d.do(ctx, check{setUp, func(ctx context.Context, _ *bed) (string, error) { return d.build(ctx) }})
	if ready {
		d.prove(ctx)
	}
	result := d.sum()
	d.report.close()
	if interrupted(ctx) {
		fmt.Fprintln(d.human, "interrupted: clearing away")
	} else {
		d.conclude(result, ready)
	}
	if err := d.leave(ready); err != nil {
		fmt.Fprintf(d.human, "clearing away: %v\n", err)
	}
	return result
}

// interrupted says whether the demo is to end early. Its own deadline is no interruption.
func interrupted(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

// conclude prints the table and the verdict.
func (d *demo) conclude(r Result, ready bool) {
	if ready {
		writeTable(d.human, d.bed.ledger)
	}
	d.verdict(r)
}

// counts is how far the requests are, for the progress.
func (d *demo) counts() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bed == nil {
		return ""
	}
	requests, failed := d.bed.ledger.totals()
	if failed > 0 {
		return fmt.Sprintf("%d requests, %d failed", requests, failed)
	}
	return fmt.Sprintf("%d requests", requests)
}

// build makes the bed, starts the director and opens the downloads.
func (d *demo) build(ctx context.Context) (saw string, err error) {
	began := time.Now()
	if _, err := clean(d.options.Name); err != nil {
		return "", fmt.Errorf("remove what an earlier demo left: %w", err)
	}
	b, err := newBed(ctx, d.options.Name, d.options.Executable)
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	d.bed = b
	d.mu.Unlock()
	built := time.Since(began)
	if err := b.director.start(ctx, initial()); err != nil {
		return "", err
	}
	if b.downloads, err = startDownloads(ctx, b, b.clients[:4]); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d namespaces and %d servers in %.1f s, the director in %.1f s; %d slow downloads have begun",
		len(roles()), len(servers), built.Seconds(), (time.Since(began) - built).Seconds(), len(b.downloads)), nil
}

// prove runs all checks. Those at last need one another's success.
func (d *demo) prove(ctx context.Context) {
	var aside, together sync.WaitGroup
	aside.Go(func() { d.do(ctx, background) })
	for _, c := range atFirst {
		together.Go(func() { d.do(ctx, c) })
	}
	together.Wait()
	for _, c := range then {
		d.do(ctx, c)
	}
	aside.Wait()
	for _, c := range atLast {
		if !d.do(ctx, c) {
			return
		}
	}
	if !d.options.Keep {
		d.do(ctx, takenDown)
	}
}

// do runs a check and reports it, and says whether it passed.
func (d *demo) do(ctx context.Context, c check) bool {
	if interrupted(ctx) {
		return false
	}
	done := d.report.begin(c.name)
	began := time.Now()
	saw, err := c.run(ctx, d.bed)
	done()
	if interrupted(ctx) {
		return false
	}
	seen := Check{Name: c.name, OK: err == nil, Detail: saw}
	if err != nil {
		seen.Detail = joinNonEmpty(err.Error(), saw)
	}
	d.report.check(seen, time.Since(began))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.result[c.name] = seen
	return seen.OK
}

func joinNonEmpty(err, saw string) string {
	if saw == "" {
		return err
	}
	return err + "\n" + saw
}

// notReached is the detail of a check that an earlier failure left out.
const notReached = "not reached"

// sum makes the result of the checks. One that was not reached has failed.
func (d *demo) sum() Result {
	r := Result{OK: true}
	for _, name := range d.options.order() {
		c, ok := d.result[name]
		if !ok {
			c = Check{Name: name, Detail: notReached}
		}
		r.OK = r.OK && c.OK
		r.Checks = append(r.Checks, c)
	}
	if d.bed != nil {
		r.Requests, r.Failed = d.bed.ledger.totals()
		r.SplitClients = len(d.bed.ledger.splitClients())
		r.OK = r.OK && r.Failed == 0 && r.SplitClients == 0
	}
	return r
}

// verdict is the report's last line.
func (d *demo) verdict(r Result) {
	passed := 0
	for _, c := range r.Checks {
		if c.OK {
			passed++
		}
	}
	word := d.report.paint(green, "passed")
	if !r.OK {
		word = d.report.paint(red, "FAILED")
	}
	fmt.Fprintf(d.human, "%s: %d of %d checks, %d requests, %d failed, %d clients split, %.1f s\n",
		word, passed, len(r.Checks), r.Requests, r.Failed, r.SplitClients, time.Since(d.report.start).Seconds())
	if !r.OK && d.bed != nil {
		fmt.Fprintf(d.human, "the director's log ends with:%s\n", logTail(d.bed.paths.dir(), directorLog))
	}
}

// leave takes everything away, or tells how to play with what is kept.
func (d *demo) leave(ready bool) error {
	if d.bed == nil {
		return nil // whoever failed to make it has removed it
	}
	if !d.options.Keep || !ready {
		return d.bed.Close()
	}
	if err := d.bed.keep(); err != nil {
		return err
	}
	p := d.bed.paths
	fmt.Fprintf(d.human, keptText, d.options.Name, len(roles()), vip4, p.dir(), certificateFile,
		d.options.Executable, p.socket(), p.config(), logFile(p.dir(), directorLog), d.bed.director.process.ID())
	return nil
}

const keptText = `
Everything is still up, in %[2]d namespaces that "ip netns" lists as %[1]s-…

  a client      ip netns exec %[1]s-client-a curl http://%[3]s/
                ip netns exec %[1]s-client-b curl --cacert %[4]s/%[5]s https://%[3]s/
  the director  %[6]s list --socket %[7]s
                %[6]s list --persistence --socket %[7]s
  its file      %[8]s, and after a change: kill -HUP %[10]d
  its log       %[9]s
  a capture     ip netns exec %[1]s-one tcpdump -ni eth0

Remove it all with: %[6]s demo --clean
`
