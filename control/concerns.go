package control

import (
	"log/slog"
	"slices"
)

// concern is something about the host that an operator should know of, for as long as it holds.
type concern struct {
	key  string // what it is about; one concern a key
	text string // what is wrong, a colon, and what to do
}

// concerns tells of each concern when it begins and when it is over, once.
type concerns struct {
	log *slog.Logger
	now []concern
}

// set says which concerns there are now.
func (c *concerns) set(now []concern) (changed bool) {
	for _, n := range now {
		if !slices.Contains(c.now, n) {
			changed = true
			c.log.Warn(n.text)
		}
	}
	for _, was := range c.now {
		if !slices.ContainsFunc(now, func(n concern) bool { return n.key == was.key }) {
			changed = true
			c.log.Info("no longer so", "what", was.text)
		}
	}
	c.now = now
	return changed
}

// texts are what is wrong now.
func (c *concerns) texts() []string {
	all := []string{}
	for _, n := range c.now {
		all = append(all, n.text)
	}
	return all
}
