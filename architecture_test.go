// Package xlvs_test holds the tree to ARCHITECTURE.md: who may import whom, and
// where unsafe is allowed.
package xlvs_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/xlvs/xlvs/"

// arrows are the folders and what of the project each may import. internal/ is
// for tests and tools, which may import anything, but for what the released
// parts use of it.
var arrows = map[string][]string{
	"packet":         {},
	"service":        {"packet"},
	"marks":          {"packet"},
	"sched":          {"service", "packet"},
	"affinity":       {"service", "packet"},
	"ring":           {"ring/internal/abi"},
	"dataplane":      {"ring", "marks", "affinity", "service", "packet"},
	"bpf":            {},
	"internal/rtnl":  {},
	"internal/nic":   {},
	"internal/links": {"internal/rtnl"},
	"neigh":          {"service", "internal/rtnl"},
	"vip":            {"internal/rtnl", "packet"},
	"config":         {"service", "packet", "sched"},
	"control":        {"config", "neigh", "vip", "bpf", "dataplane", "ring", "affinity", "marks", "sched", "service", "packet", "internal/nic", "internal/links"},
}

// library is what each folder may import from elsewhere; nil is anything.
var library = map[string][]string{
	"packet":    {},
	"service":   {},
	"marks":     {"github.com/gaissmai/bart"},
	"sched":     {},
	"affinity":  {},
	"ring":      {"golang.org/x/sys/unix"},
	"dataplane": {"golang.org/x/sys/unix"},
}

// unsafeAllowed are the folders, or the one file of a folder, that may import unsafe.
var unsafeAllowed = map[string]string{
	"ring/internal/abi": "*_unsafe.go",
	"affinity":          "memory_unsafe.go",
	"bpf":               "records_unsafe.go",
}

type pkg struct {
	Dir, ImportPath string
	Standard        bool
	GoFiles         []string
	Imports         []string
}

func (p *pkg) folder() string { return strings.TrimPrefix(p.ImportPath, module) }

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=Dir,ImportPath,GoFiles,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestArrowsOfTheArchitecture(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		allowed, bound := arrows[p.folder()]
		seen[p.folder()] = true
		for _, i := range p.Imports {
			to, ours := strings.CutPrefix(i, module)
			libraries, strict := library[p.folder()]
			switch {
			case ours && bound && !slices.Contains(allowed, to):
				t.Errorf("%s imports %s: ARCHITECTURE.md has no such arrow", p.folder(), to)
			case !ours && strict && strings.Contains(i, ".") && !slices.Contains(libraries, i):
				t.Errorf("%s imports %s, which is not for it", p.folder(), i)
			}
		}
	}
	for folder := range arrows {
		if !seen[folder] {
			t.Errorf("the architecture names %s, which does not exist", folder)
		}
	}
}

func TestUnsafeStaysWhereItIs(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.Contains(p.Imports, "unsafe") {
			continue
		}
		pattern, ok := unsafeAllowed[p.folder()]
		if !ok && !strings.HasPrefix(p.folder(), "ring/") {
			t.Errorf("%s imports unsafe", p.folder())
			continue
		}
		for _, file := range filesWith(t, p, `"unsafe"`) {
			if match, _ := filepath.Match(pattern, file); !match {
				t.Errorf("%s/%s imports unsafe: only %s may", p.folder(), file, pattern)
			}
		}
	}
}

// filesWith are the package's files that contain text.
func filesWith(t *testing.T, p pkg, text string) []string {
	t.Helper()
	cmd := exec.Command("grep", append([]string{"-lF", text, "--"}, p.GoFiles...)...)
	cmd.Dir = p.Dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("grep in %s: %v", p.Dir, err)
	}
	return strings.Fields(string(out))
}
