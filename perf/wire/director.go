package wire

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/xlvs/xlvs/control"
)

//go:embed director.yaml.tmpl
var directorText string

var directorTemplate = template.Must(template.New("director").Funcs(template.FuncMap{"list": list[int]}).Parse(directorText))

// list is values as a YAML list on one line.
func list[T any](values []T) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprint(v)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// Director is what can be tried with the director. Zero values are its defaults.
type Director struct {
	Program string            // its path; as Options.Self if empty
	Env     []string          // more of its environment, "GODEBUG=gctrace=1" for one
	Mode    string            // auto, zerocopy, copy, generic
	Rings   map[string]string // what the configuration has under rings, by key
	Workers map[string]string // and under workers, but for cpus
	Express string            // auto, on, off: its express lane
	Extra   string            // more YAML, at the end of the configuration
}

// startDirector runs the director with marks and persistence on the far end.
func startDirector(_ context.Context, b *bed, o *Options) (*running, error) {
	dir, err := os.MkdirTemp("", "xlvs-bench")
	if err != nil {
		return nil, err
	}
	r := &running{obtained: modeAt(filepath.Join(dir, socketName)), undo: []func() error{func() error { return os.RemoveAll(dir) }}}
	file := filepath.Join(dir, "director.yaml")
	if err := writeConfiguration(file, dir, b, o); err != nil {
		return nil, fmt.Errorf("%w%s", err, undone(r))
	}
	args := []string{"run", "-c", file, "--ephemeral"}
	cmd := o.xlvs(args...)
	if o.Director.Program != "" {
		cmd = exec.Command(o.Director.Program, args...)
	}
	cmd.Env = append(os.Environ(), o.Director.Env...)
	// Its workers pin themselves, as configured; the rest of it may be anywhere.
	if r.child, err = b.far.start(cmd, nil); err != nil {
		return nil, fmt.Errorf("%w%s", err, undone(r))
	}
	return r, nil
}

// startWorkers runs the director without its express lane.
func startWorkers(ctx context.Context, b *bed, o *Options) (*running, error) {
	without := *o
	without.Director.Express = "off"
	return startDirector(ctx, b, &without)
}

const socketName = "xlvs.sock"

// modeAt asks a director for the modes of its sockets, and whether its express lane
// is open beside them.
func modeAt(socket string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		tuning, err := control.NewClient(socket).Tuning(ctx)
		if err != nil {
			return "", err
		}
		var modes []string
		for _, i := range tuning.Interfaces {
			modes = append(modes, i.Modes...)
			if i.Express.Open {
				modes = append(modes, "express")
			}
		}
		slices.Sort(modes)
		return strings.Join(slices.Compact(modes), ", "), nil
	}
}

// undone takes away what a start that failed had made, and tells what would not go.
func undone(r *running) string {
	if err := r.stop(); err != nil {
		return "; " + err.Error()
	}
	return ""
}

func writeConfiguration(path, dir string, b *bed, o *Options) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = directorTemplate.Execute(f, struct {
		Director
		Interface, Socket string
		VIP               netip.Addr
		Port              uint16
		CPUs              []int
		Servers           []netip.Addr
	}{o.Director, b.far.device, filepath.Join(dir, socketName), b.vip.Addr(), b.vip.Port(), o.balancerCPUs(b.far.queues), b.servers})
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

func netip32(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
