package demo

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
)

// tableColumns are the groups of columns of the closing table.
var tableColumns = []struct {
	title    string
	services []service
}{
	{"mark 80: HTTP, HTTPS", markedWeb},
	{"mark 21: FTP", markedFTP},
	{"no mark: UDP echo", []service{serviceEcho}},
}

// tableRow is the clients of one line of the table.
type tableRow struct {
	title string
	of    func(netip.Addr) bool
}

func tableRows() []tableRow {
	var rows []tableRow
	for _, six := range []bool{false, true} {
		for _, n := range networks {
			prefix := n.wire.prefix4
			if six {
				prefix = n.wire.prefix6
			}
			rows = append(rows, tableRow{prefix.String(), prefix.Contains})
		}
	}
	return append(rows,
		tableRow{newcomers4.String() + " newcomers", newcomers4.Contains},
		tableRow{newcomers6.String() + " newcomers", newcomers6.Contains})
}

// writeTable prints who went where: requests by client network, mark and real server.
func writeTable(out io.Writer, l *ledger) {
	const titleWidth, cellWidth = 32, 7
	counts := l.copy()
	fmt.Fprintf(out, "\nWho went where, in requests that each real server answered\n\n%-*s%8s", titleWidth, "", "")
	for _, column := range tableColumns {
		fmt.Fprintf(out, "  %-*s", cellWidth*len(servers), column.title)
	}
	fmt.Fprintf(out, "\n%-*s%8s", titleWidth, "client network", "clients")
	for range tableColumns {
		fmt.Fprint(out, "  ")
		for _, s := range servers {
			fmt.Fprintf(out, "%*s", cellWidth, s.name)
		}
	}
	fmt.Fprintln(out)
	for _, row := range tableRows() {
		clients, cells := tableCells(counts, row.of)
		fmt.Fprintf(out, "%-*s%8d", titleWidth, row.title, clients)
		for i := range tableColumns {
			fmt.Fprint(out, "  ")
			for j := range servers {
				fmt.Fprintf(out, "%*s", cellWidth, countOrDot(cells[i][j]))
			}
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out)
}

// countOrDot shows what is not there as a dot, so that what is stands out.
func countOrDot(n int) string {
	if n == 0 {
		return "."
	}
	return strconv.Itoa(n)
}

// tableCells counts the clients of a row, and their requests by column and server.
func tableCells(counts map[visit]int, of func(netip.Addr) bool) (clients int, cells [][]int) {
	seen := map[netip.Addr]bool{}
	cells = make([][]int, len(tableColumns))
	for i := range cells {
		cells[i] = make([]int, len(servers))
	}
	for v, n := range counts {
		column := columnOf(v.service)
		if column < 0 || !of(v.client) {
			continue // the service of the expiry is in no column
		}
		seen[v.client] = true
		if at := slices.IndexFunc(servers, func(s server) bool { return s.name == v.server }); at >= 0 {
			cells[column][at] += n
		}
	}
	return len(seen), cells
}

// columnOf is the group of columns of a service, -1 if it has none.
func columnOf(s service) int {
	for i, column := range tableColumns {
		if slices.Contains(column.services, s) {
			return i
		}
	}
	return -1
}
