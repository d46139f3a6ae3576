package measure

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/perf/result"
)

// Machine describes where the process runs. version is the program's. What a
// system does not tell is left out.
func Machine(version string) result.Machine {
	m := result.Machine{
		CPU: cpuField("model name"), Cores: runtime.NumCPU(), GoVersion: runtime.Version(),
		Version: version, Commit: commit(), Load: load(), Caches: caches(),
		Hypervisor: strings.Contains(" "+cpuField("flags")+" ", " hypervisor "),
		Governor:   line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		HugePages:  chosen(line("/sys/kernel/mm/transparent_hugepage/enabled")),
	}
	m.Host, _ = os.Hostname()
	var uname unix.Utsname
	if unix.Uname(&uname) == nil {
		m.Kernel = unix.ByteSliceToString(uname.Release[:]) + " " + unix.ByteSliceToString(uname.Machine[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.MemoryMB = uint64(info.Totalram) * uint64(info.Unit) >> 20
	}
	return m
}

// commit is what the program was built from, as the build recorded it.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	return revision + dirty
}

// cpuField is a field of the first processor.
func cpuField(name string) string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for l := range bytes.Lines(text) {
		if key, value, ok := strings.Cut(string(l), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// caches are the first processor's, as "L1d 48K, L2 1024K".
func caches() string {
	var found []string
	indexes, _ := filepath.Glob("/sys/devices/system/cpu/cpu0/cache/index*")
	for _, index := range indexes {
		kind, size := line(index+"/type"), line(index+"/size")
		if kind == "Instruction" || size == "" {
			continue
		}
		suffix := ""
		if kind == "Data" {
			suffix = "d"
		}
		found = append(found, fmt.Sprintf("L%s%s %s", line(index+"/level"), suffix, size))
	}
	return strings.Join(found, ", ")
}

// load is the three load averages.
func load() string {
	fields := strings.Fields(line("/proc/loadavg"))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

// chosen is the word in brackets.
func chosen(choices string) string {
	_, after, _ := strings.Cut(choices, "[")
	word, _, _ := strings.Cut(after, "]")
	return word
}

// line is what a file of one line says, "" if there is no such file.
func line(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}
