package affinity

import (
	"errors"
	"fmt"
	"sync"
)

// Tables is all that is remembered of clients: connections, templates, and the
// directory of servers that they refer to, in one memory.
type Tables struct {
	Conns     Conns
	Templates Templates

	// Constant.
	config  Config
	secret  secret
	servers *servers
	tables  [tableCount]*table

	mu        sync.Mutex // guards what follows
	directory *directory
	sweep     sweep
}

// ErrUnformatted says that memory never held tables.
var ErrUnformatted = errors.New("the memory holds no tables")

// MismatchError says that memory holds tables of another version or geometry. They
// cannot be converted; Format replaces them.
type MismatchError struct {
	What       string // what differs
	Have, Want uint64 // in the memory, and as this program or its configuration wants it
}

// Error says what differs and what to do.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("the tables in memory have %s %d, wanted is %d: go back to the program and configuration that made them, "+
		"or replace them, which forgets all connections and templates", e.What, e.Have, e.Want)
}

// Words of the header lines, from the start of the memory.
const (
	headerMagic = iota
	headerVersion
	headerClock
	headerConfig
	headerSecret   = 8
	headerSections = 24
)

// Format makes empty tables in mem, whatever it holds, with a new secret. mem is
// aligned to 64 bytes, at least config.Size() long, and stays mapped as long as the
// Tables are used.
func Format(mem []byte, config Config) (*Tables, error) {
	lines, err := view(mem, &config)
	if err == nil {
		err = checkSize(mem, &config)
	}
	if err != nil {
		return nil, fmt.Errorf("format tables: %w", err)
	}
	// Until the magic number is there again, nobody takes this for tables.
	lines[0][headerMagic].Store(0)
	clear(mem[8:config.Size()])
	header := func(i int, v uint64) { lines[i/8][i%8].Store(v) }
	header(headerVersion, version)
	header(headerClock, clockMonotonic)
	for i, n := range config.words() {
		header(headerConfig+i, n)
	}
	for i, w := range newSecret() {
		header(headerSecret+i, w)
	}
	sections, _ := config.layout()
	for i, s := range sections {
		header(headerSections+2*i, uint64(s.first)|uint64(s.buckets)<<32)
		header(headerSections+2*i+1, uint64(s.words))
	}
	header(headerMagic, magic)
	return newTables(lines, config), nil
}

// view validates the configuration and returns memory as lines, at least those of
// the header.
func view(mem []byte, config *Config) ([]line, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if len(mem) < headerLines*lineBytes {
		return nil, fmt.Errorf("%d bytes of memory are less than a header", len(mem))
	}
	return viewLines(mem)
}

// checkSize refuses memory that is too small for the tables.
func checkSize(mem []byte, config *Config) error {
	if size := config.Size(); len(mem) < size {
		return fmt.Errorf("%d bytes of memory, needed are %d", len(mem), size)
	}
	return nil
}

// checkHeader compares the header with what this program and config want.
func checkHeader(lines []line, config *Config) error {
	header := func(i int) uint64 { return lines[i/8][i%8].Load() }
	switch header(headerMagic) {
	case 0:
		return ErrUnformatted
	case magic:
	default:
		return &MismatchError{"magic number", header(headerMagic), magic}
	}
	if v := header(headerVersion); v != version {
		return &MismatchError{"version", v, version}
	}
	if v := header(headerClock); v != clockMonotonic {
		return &MismatchError{"clock", v, clockMonotonic}
	}
	for i, n := range config.words() {
		if v := header(headerConfig + i); v != n {
			return &MismatchError{"room for " + configNames[i], v, n}
		}
	}
	sections, _ := config.layout()
	for i, s := range sections {
		if v, w := header(headerSections+2*i), uint64(s.first)|uint64(s.buckets)<<32; v != w {
			return &MismatchError{"place of " + configNames[i], v, w}
		}
	}
	return nil
}

// newTables lays Tables over formatted memory.
func newTables(lines []line, config Config) *Tables {
	t := &Tables{config: config, servers: newServers(config.Servers)}
	for i := range t.secret {
		t.secret[i] = lines[(headerSecret+i)/8][(headerSecret+i)%8].Load()
	}
	sections, _ := config.layout()
	for i, s := range sections {
		t.tables[i] = &table{
			lines:    lines[s.first : s.first+s.lines],
			buckets:  viewBuckets(lines[s.words:], s.buckets),
			secret:   &t.secret,
			servers:  t.servers,
			capacity: int64(config.words()[i]),
			reach:    reach(s.buckets, int(config.words()[i])),
			stays:    Lasting,
			v6:       i == connections6 || i == templates6,
		}
	}
	t.tables[templates4].stays, t.tables[templates6].stays = Assured, Assured
	t.tables[connections4].templates = t.tables[templates4]
	t.tables[connections6].templates = t.tables[templates6]
	t.directory = newDirectory(lines[headerLines : headerLines+int(config.Servers)])
	t.sweep.pass = 1
	t.Conns = Conns{t.tables[connections4], t.tables[connections6], &t.secret, t.servers}
	t.Templates = Templates{t.tables[templates4], t.tables[templates6], &t.secret}
	return t
}

// reach is how many buckets hold 128 entries, on the average, when a table is full.
// If nine in ten are not to be displaced, one in a million searches finds none that is.
func reach(buckets, capacity int) uint32 { return uint32(min(buckets, 128*buckets/max(capacity, 1))) }
