package demo

import (
	_ "embed"
	"net/netip"
	"os"
	"path/filepath"
	"text/template"
	"time"
)

//go:embed director.yaml.tmpl
var directorTemplate string

var directorYAML = template.Must(template.New("director.yaml").Parse(directorTemplate))

// shortTimeout is the persistence of the service that shows a template expire.
const shortTimeout = 2 * time.Second

// markExtra is the mark, and the port, of a service that comes and goes with reloads.
const markExtra = 9999

// configuration is what the demo changes in the director's file.
type configuration struct {
	weights map[string]int // under the web mark, by server
	extra   bool           // one mark and one service more
}

// initial is the configuration that the director starts with.
func initial() configuration {
	weights := map[string]int{}
	for _, s := range servers {
		weights[s.name] = s.weight
	}
	return configuration{weights: weights}
}

// withWeight is the configuration with another weight of one server.
func (c configuration) withWeight(server string, weight int) configuration {
	weights := map[string]int{}
	for name, w := range c.weights {
		weights[name] = w
	}
	weights[server] = weight
	c.weights = weights
	return c
}

// withExtra is the configuration with or without the extra service.
func (c configuration) withExtra(extra bool) configuration {
	c.extra = extra
	return c
}

// templateServer is a real server as the template names its parts.
type templateServer struct {
	Addr4, Addr6 netip.Addr
	Weight       int
}

// write replaces the file as a whole, so that no reload reads half of it.
func (c configuration) write(path string, p paths) error {
	var all []templateServer
	for _, s := range servers {
		all = append(all, templateServer{s.leg.addr4(), s.leg.addr6(), c.weights[s.name]})
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain once it is renamed
	defer f.Close()
	err = directorYAML.Execute(f, map[string]any{
		"Interface": uplink, "Pin": p.pin(), "Socket": p.socket(),
		"VIP4": vip4, "VIP6": vip6, "Mask4": maskBits4, "Mask6": maskBits6,
		"MarkWeb": markWeb, "MarkFTP": markFTP, "MarkShort": markShort, "MarkExtra": markExtra,
		"PassiveFirst": passiveFirst, "PassiveLast": passiveLast, "PortEcho": portEcho,
		"ShortTimeout": shortTimeout, "Servers": all, "Extra": c.extra,
	})
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
