package report

import (
	"fmt"
	"strings"

	"github.com/xlvs/xlvs/perf/result"
)

func (s *section) table(found *result.Table) {
	s.Title = "The connection table beside others"
	s.Lead = "The same clients, in the same random order, in every table. Nanoseconds of processor time an operation, " +
		"what a library does in the background included; on all cores at once, divided by their number. “× xlvs” is the median of the rounds’ ratios for a lookup."
	g := grid{Head: []string{"table", "entries", "lookup ns", "× xlvs", "lookup of none ns", "lookup, all cores ns", "insert ns", "insert, all cores ns", "expire ns", "bytes/entry", "GC ms", "split clients", "lost entries"}}
	noted := map[string]bool{}
	for i := range found.Tables {
		c := &found.Tables[i]
		ns := func(figure string, v float64) string { // with its mark, and a note why
			if rounds := c.Rounds[figure]; rounds.Noisy() {
				s.noisy(fmt.Sprintf("%s of %s with %d entries", strings.TrimSuffix(strings.ReplaceAll(figure, "_", " "), " ns"), c.Name, c.Entries), rounds.Spread())
				return mark(true) + optional("%.1f", v)
			}
			return optional("%.1f", v)
		}
		g.Rows = append(g.Rows, []string{c.Name, fmt.Sprint(c.Entries), ns("lookup_ns", c.Lookup), optional("%.1f", c.Ratios["lookup_ns"]),
			ns("lookup_miss_ns", c.LookupMiss), ns("lookup_all_cores_ns", c.LookupAll), ns("insert_ns", c.Insert), ns("insert_all_cores_ns", c.InsertAll),
			ns("expire_ns", c.Expire), fmt.Sprintf("%.1f", c.BytesEntry), fmt.Sprintf("%.1f", c.CollectionNs/1e6),
			fmt.Sprint(c.SplitClients), fmt.Sprint(c.LostEntries)})
		if !noted[c.Name] {
			noted[c.Name] = true
			s.Notes = append(s.Notes, c.Name+" — "+c.Description+".")
			if c.ExpireNote != "" {
				s.Notes = append(s.Notes, c.Name+": expiry was not timed, "+c.ExpireNote+".")
			}
		}
	}
	s.tableCards(found.Tables)
	s.Tables = []grid{g}
}

// tableCards say, at the largest size, how much slower lookups of the others are,
// and whom they lose.
func (s *section) tableCards(tables []result.TableCase) {
	most := 0
	for i := range tables {
		most = max(most, tables[i].Entries)
	}
	for i := range tables {
		c := &tables[i]
		if c.Entries != most {
			continue
		}
		kept := fmt.Sprintf("%d of %d clients split, %d entries lost", c.SplitClients, c.Clients, c.LostEntries)
		if times, ok := c.Ratios["lookup_all_cores_ns"]; ok {
			s.Cards = append(s.Cards, card{fmt.Sprintf("%.1f", times), "×", fmt.Sprintf("the time of xlvs, all cores, %s: %s", c.Name, kept)})
		} else {
			s.Cards = append(s.Cards, card{fmt.Sprintf("%.0f", c.LookupAll), "ns", fmt.Sprintf("a lookup on all cores among %s, %s: %s", short(float64(most)), c.Name, kept)})
		}
	}
}
