package affinity

import "fmt"

// The memory of the tables, in lines of 64 bytes:
//
//	line 0      magic, version, clock, and the configured number of entries of
//	            each of the four tables and of servers, one 64-bit word each
//	line 1, 2   the hash's secret, 11 words
//	line 3      where the tables are: for each, in the order connections IPv4,
//	            connections IPv6, templates IPv4, templates IPv6, a word with its
//	            first line (low half) and its number of buckets (high half), and one
//	            with the first line of its bucket words (low half)
//	line 4...   the server directory, one line a server (directory.go)
//	then        the four tables: the slots, then the bucket words, 32 bits a bucket
//
// All numbers are in the host's byte order; the memory never leaves it.
//
// A table is an array of buckets of two slots each. A slot of an IPv4 table takes half a
// line, one of an IPv6 table a whole one: slot n begins in line n/2 or line n of the table.
// It begins with four words that mean the same in both; an IPv6 slot goes on with the
// rest of its addresses:
//
//	word  bits   meaning
//	0 ident      63-48 client port   47-32 virtual port   31-24 protocol
//	             23-14 0; NAT: number of the next hop to the client
//	             13-2 incarnation: how often the slot was emptied, mod 2^12
//	             1-0 status: 0 free, 2 live
//	1 bind       31-0 the server's service.ID
//	             63-32 connection: slot of the template that it holds + 1, or 0
//	                   template: how many connections hold it, all ones: dying
//	                   fragment: slot of its connection + 1, or 0
//	2 life       31-0 expiry, a Tick   35-32 number of the state within its protocol
//	             43-36 flags   53-44 low ten bits of the incarnation that this word belongs to
//	             63-54 connection that holds a template: low ten bits of the template's incarnation
//	                   TCP connection in CLOSE that holds none: the second (Tick/8) at which it
//	                   was closed, mod 1024
//	                   fragment: low ten bits of its connection's incarnation
//	3 address    IPv4: client (high half), virtual address    IPv6: client, high word
//	4-6          IPv6: client low, virtual address high, low
//	7            IPv6: unused, 0
//
//	flags  38-36 grade   39 output   40 reply   41 own port (connection), pinned (template)
//	             42, 43 free, 0
//
// The grade says how well an entry is known: 0 unassured, nothing but its first packet was
// seen; 1 and more assured. It rises with the time that the entry is heard, see Update.
//
// The key of a template has its client's masked address as the client, client port 0,
// and as the rest the service; a firewall mark stands as the virtual address
// (IPv6: its low word) with protocol 0. Fragments have protocol 44, and in the ports'
// place (IPv4) identification and protocol, or (IPv6) the identification's 32 bits.
//
// Nothing writes the following yet. It is fixed here so that it needs no other layout;
// Attach drops an entry with a flag that it does not know.
//
//   - NAT needs no second entry: a reply hashes its destination, which is the client's
//     side, and compares its source with the server that the entry names. Output says that
//     the server was heard. Ident's 23-14 are the next hop to the client, 0 for none; only
//     the holder of the home's lock changes them, and a reader that sees no other
//     difference in ident reads again.
//   - Full NAT: the connection has in bind 63-48 the number of the pool's address and in 47-32
//     the pool's port. A second entry with Reply has the key of a connection of the
//     server (as the client) to the pool's address; bind 31-0 is the template's slot + 1, 63-32 the
//     connection's slot + 1, life 63-54 the low ten bits of the connection's incarnation, and
//     ident 23-14 those of the template's. It lives while its connection does.
//   - FTP: an expected data connection has client port 0. Own port says that bind 47-32 is the
//     server's port, not the directory's; such a connection holds no template. What was added to
//     sequence numbers stands in a side entry for each direction, of protocol 43 and that
//     direction's addresses and ports: bind 31-0 the sequence number from which on it counts,
//     47-32 and 63-48 what is added from there on and before, signed; life as a fragment's.
//   - SIP: a template by Call-ID is in the IPv6 table and has client port 1. Its client's
//     address is a keyed digest of 128 bits; two Call-IDs of one digest share a server.
//   - Pinned: a template that neither expires nor gives way.
//
// Finding an entry: home = hash * buckets >> 32. A connection's hash is of the client's
// side alone (address, port, protocol), that of templates and fragments of the whole key
// (hash.go). Look at both slots of the home
// bucket; then, for each bit d from 1 to 30 that is set in the home's bucket word, at those
// of bucket (home + d(d+1)/2) mod buckets. An entry never moves, and bit d of the word is set
// while an entry with that home is at distance d, so a miss usually ends at the home
// bucket. Bit 31 of a bucket word is the lock of the home's writers.
//
// A reader loads ident (live, ports and protocol as wanted), the addresses, bind and
// life, and ident again: if it is unchanged and life's incarnation agrees with it,
// the words belong together. If not, the entry was deleted while it was looked at:
// a miss. A writer has the home's lock; to fill a slot it needs that of the slot's bucket,
// too, because other homes may want it. It publishes ident last. Deletion needs the home's
// lock alone: it first takes life out by compare-and-swap, which fails if somebody extended
// it, then frees ident, and leaves the slot to others with that. Only who has the home's lock
// changes what bind says of a connection or a fragment, and takes a connection's template
// before the word that names it.
// Everybody else changes life, and a template's bind, by compare-and-swap only, and life
// carries the incarnation, so nothing is ever written to an entry's successor.
//
// Times: a packet lets its entry live to now + timeout + step - 1, where step is an eighth of
// the timeout, at most a second and at least a tick. It need not write that while the
// expiry is less than step behind, so that no entry ends before its timeout.

// LayoutVersion is the version of this layout. Memory of another one is not attached to.
const LayoutVersion = 2

// Geometry of the tables.
const (
	magic   = 0x786c76732d616666 // "xlvs-aff"
	version = LayoutVersion
	// clockMonotonic is the only clock so far: ticks of CLOCK_MONOTONIC.
	clockMonotonic = 1

	headerLines    = 4
	slotsPerBucket = 2
	// probes is how many buckets an entry may be in: at distance 0 to 30.
	probes = 31
	// span is the farthest bucket of a probe sequence.
	span = (probes - 1) * probes / 2
	// minBuckets keeps the buckets of a probe sequence distinct.
	minBuckets = span + 1

	// Design loads, entries by slots. Bytes by entry at these, bucket words included:
	// IPv4 (64+4)/(2*0.6) = 56.7, IPv6 (128+4)/(2*0.7) = 94.3. At 0.7 half of the
	// buckets are full, so one of 31 has room, always but once in 2^31 times.
	loadPercent4 = 60
	loadPercent6 = 70

	// MaxEntries is how many entries one table may be configured for.
	MaxEntries = 1 << 28
)

// Words of a slot, and fields in them.
const (
	ident = iota
	bind
	life
	address

	identIncarnation = 2
	identProtocol    = 24
	identPorts       = 32
	identClientPort  = 48
	statusMask       = 3
	statusFree       = 0
	statusLive       = 2
	// identKey covers what of ident belongs to the key.
	identKey = ^uint64(1<<identProtocol - 1)
	// identSide covers what of ident says who the client is: its port and the protocol.
	identSide = 0xffff<<identClientPort | 0xff<<identProtocol
	// incarnationMask covers the incarnation, in place.
	incarnationMask = (1<<12 - 1) << identIncarnation

	bindUpper = 32
	// dying in bind's upper half: the template is being deleted, nobody may hold it.
	dying = 0xffffffff

	lifeState = 32
	lifeGrade = 36
	lifeFlags = 36
	lifeOwn   = 44
	lifeOther = 54 // incarnation of what bind names, or a second
	lifeMask  = 1<<10 - 1
	stateMask = 1<<4 - 1
	// unknownFlags are those that no program of this version sets.
	unknownFlags = (1<<8 - 1 - uint64(MaxGrade)) << lifeFlags
)

// Fields of a bucket word.
const (
	bucketLock   = 1 << 31
	bucketProbes = bucketLock - 1
)

// Config is the geometry of the tables. Memory formatted with one can be
// attached to with the same only.
type Config struct {
	// Connections4 and Connections6 bound the connections of each family, fragments
	// included; Templates4 and Templates6 the persistence templates. From 0 (a table
	// that is always full) to MaxEntries.
	Connections4, Connections6, Templates4, Templates6 uint32
	// Servers bounds the real servers of all services together, those removed from the
	// configuration but still referred to included. From 1 to service.MaxNumber.
	Servers uint32
}

// section is where a table is.
type section struct {
	first   int // line of the first slot
	lines   int // of slots
	buckets int // how many
	words   int // line of the first bucket word
}

// kinds of table, in the order of the sections.
const (
	connections4 = iota
	connections6
	templates4
	templates6
	tableCount
)

// words are the configured numbers in the header's order.
func (c *Config) words() [tableCount + 1]uint64 {
	return [...]uint64{uint64(c.Connections4), uint64(c.Connections6),
		uint64(c.Templates4), uint64(c.Templates6), uint64(c.Servers)}
}

// configNames name the configured numbers, as words has them.
var configNames = [...]string{"IPv4 connections", "IPv6 connections", "IPv4 templates", "IPv6 templates", "servers"}

// validate refuses numbers out of range.
func (c *Config) validate() error {
	for i, n := range c.words() {
		limit := uint64(MaxEntries)
		if i == tableCount {
			limit = maxServers
			if n == 0 {
				return fmt.Errorf("room for 0 servers: configure at least 1")
			}
		}
		if n > limit {
			return fmt.Errorf("room for %d %s: the limit is %d", n, configNames[i], limit)
		}
	}
	return nil
}

// layout returns where each table is, and how many lines there are in all.
func (c *Config) layout() (sections [tableCount]section, lines int) {
	lines = headerLines + int(c.Servers)
	for i, n := range c.words() {
		if i == tableCount {
			break
		}
		load, bucketLines := loadPercent4*slotsPerBucket, 1
		if i == connections6 || i == templates6 {
			load, bucketLines = loadPercent6*slotsPerBucket, 2
		}
		s := section{first: lines, buckets: max(minBuckets, (int(n)*100+load-1)/load)}
		s.lines = s.buckets * bucketLines
		s.words = s.first + s.lines
		lines = s.words + (s.buckets*4+lineBytes-1)/lineBytes
		sections[i] = s
	}
	return sections, lines
}

// Size returns how many bytes of memory the tables take, a multiple of 64.
func (c Config) Size() int {
	_, lines := c.layout()
	return lines * lineBytes
}
