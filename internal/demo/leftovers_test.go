package demo

import (
	"os"
	"path/filepath"
	"testing"
)

// What a demo that was killed leaves is found and removed.
func TestCleanRemovesEverything(t *testing.T) {
	executable, err := os.Executable()
	must(t, err)
	b, err := newBed(testContext(t), testName(), executable)
	must(t, err)
	must(t, b.keep()) // as after --keep: the hosts go on without the demo

	namespace := filepath.Join("/run/netns", namespaceName(b.topology.name, servers[0].name))
	if n := len(processesIn(namespace)); n != 1 {
		t.Errorf("%d processes in the namespace of a real server, want 1", n)
	}
	removed, err := clean(testName())
	if err != nil || !removed {
		t.Errorf("removed %t, %v", removed, err)
	}
	for _, h := range b.hosts {
		<-h.Ended()
	}
	for _, path := range []string{namespace, b.paths.dir()} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if removed, err := clean(testName()); err != nil || removed {
		t.Errorf("a second time: removed %t, %v", removed, err)
	}
}

func TestOneDemoAtATime(t *testing.T) {
	release, err := claim(testName())
	must(t, err)
	if _, err := claim(testName()); err == nil {
		t.Error("two demos of one name")
	}
	must(t, release.Close())
	release, err = claim(testName())
	must(t, err)
	must(t, release.Close())
}
