//go:build vmtest

package guest

import (
	"os"
	"regexp"
	"testing"
)

// differencesFile is docs/ipvs.md, which lists where xlvs differs from IPVS on purpose.
const differencesFile = "/ipvs.md"

// readDifferences returns the list's headings, each with whether a play has shown it.
func readDifferences(t testing.TB) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(differencesFile)
	must(t, err)
	shown := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^### (.*)$`).FindAllSubmatch(text, -1) {
		shown[string(heading[1])] = false
	}
	return shown
}

// documented says that the directors differ here for the reason under that heading of
// the list.
func (p *play) documented(what, heading string) {
	p.Helper()
	if _, ok := p.stage.differences[heading]; !ok {
		p.Errorf("%s: docs/ipvs.md has no difference %q", what, heading)
		return
	}
	p.stage.differences[heading] = true
}

// checkShown wants each difference of the list shown by a play.
func (s *stage) checkShown(t *testing.T) {
	t.Helper()
	for heading, shown := range s.differences {
		if !shown {
			t.Errorf("no play has shown %q of docs/ipvs.md", heading)
		}
	}
}

// The headings, as the plays name them.
const (
	closedLives   = "A closed connection that goes on"
	assuredSooner = "A template is assured by a second connection"
	oneHoldsNot   = "One packet holds no template"
	templateEnds  = "A template ends with its connections"
	staysKnown    = "A moved client stays known"
	oneByOne      = "Connections of removed servers end one by one"
	roundGoesOn   = "wrr goes on where it was"
	forgotten     = "A forgotten connection"
	abortBegins   = "An ABORT begins nothing"
	answersFrom   = "Errors come from the director"
)
