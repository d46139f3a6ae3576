package demo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/xlvs/xlvs/config"
)

// Every file that the demo writes is one that the director takes, without a warning.
func TestConfigurationIsValid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "director.yaml")
	for _, c := range []configuration{
		initial(),
		initial().withWeight(servers[0].name, 0),
		initial().withExtra(true),
	} {
		must(t, c.write(path, paths{testName()}))
		text, err := os.ReadFile(path)
		must(t, err)
		parsed, err := config.Parse(path, text)
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		if warnings := parsed.Warnings(); len(warnings) > 0 {
			t.Errorf("%v\n%s", warnings, text)
		}
		if got, want := parsed.Services[0].Servers[0].Weight, c.weights[servers[0].name]; int(got) != want {
			t.Errorf("the first server has weight %d, not %d", got, want)
		}
	}
}

// A configuration is a value: changing one leaves the other.
func TestConfigurationsDoNotShare(t *testing.T) {
	a := initial()
	b := a.withWeight(servers[0].name, 0)
	if a.weights[servers[0].name] == 0 || b.weights[servers[0].name] != 0 {
		t.Errorf("%v, %v", a, b)
	}
}
