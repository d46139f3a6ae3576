package table

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"

	"github.com/xlvs/xlvs/perf/measure"
	"github.com/xlvs/xlvs/perf/result"
)

// Progress is told what is done next, and how many steps of how many are done.
type Progress func(what string, done, total int)

// Run measures every table at every size. found is called with the tables of a
// size as soon as they are measured. Either function may be nil.
func Run(ctx context.Context, o Options, progress Progress, found func([]result.TableCase)) (*result.Table, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &bench{ctx: ctx, options: o, progress: progress}
	b.total = len(o.Entries)*2*o.Rounds*len(o.chosen()) + len(o.chosen())
	split, err := b.splits()
	if err != nil {
		return nil, err
	}
	var all result.Table
	for _, entries := range o.Entries {
		s := newSize(b, entries)
		if err := s.measure(); err != nil {
			return nil, err
		}
		cases := s.results()
		for i := range cases {
			cases[i].Clients, cases[i].SplitClients = o.Clients, split[i]
		}
		if found != nil {
			found(cases)
		}
		all.Tables = append(all.Tables, cases...)
	}
	return &all, nil
}

// bench is what the sizes share.
type bench struct {
	ctx         context.Context
	options     Options
	progress    Progress
	done, total int
}

// step says that something begins, and ends the run if that was asked for.
func (b *bench) step(format string, args ...any) error {
	if b.progress != nil {
		b.progress(fmt.Sprintf(format, args...), b.done, b.total)
	}
	b.done++
	return b.ctx.Err()
}

// splits counts, for each table, the clients that two threads send to two servers.
func (b *bench) splits() ([]int, error) {
	var split []int
	for _, k := range b.options.chosen() {
		if err := b.step("%s: %d clients open two connections at once", k.name, b.options.Clients); err != nil {
			return nil, err
		}
		s, err := k.open(b.options.Clients)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
		split = append(split, race(s, b.options.Clients))
		s.close()
	}
	return split, nil
}

// size measures all tables at one size.
type size struct {
	*bench
	entries  int
	capacity int
	arriving []uint32 // the clients in the order in which they are put in
	asking   []uint32 // the same, in the order in which they are looked up
	unknown  []uint32 // as many others
	subjects []*subject
}

// subject is a table and what was measured of it.
type subject struct {
	kind
	store store // while it is filled
	at    int   // where its lookups are among the clients
	bytes float64
	// present is how many entries lookups can find.
	present int
	lost    int
	left    int
	rounds  map[string]result.Rounds
}

// figures of a subject, named as in results.
const (
	figureLookup    = "lookup_ns"
	figureMiss      = "lookup_miss_ns"
	figureSingle    = "lookup_single_ns"
	figureLookupAll = "lookup_all_cores_ns"
	figureInsert    = "insert_ns"
	figureInsertAll = "insert_all_cores_ns"
	figureExpire    = "expire_ns"
	figureGC        = "gc_ns"
)

func newSize(b *bench, entries int) *size {
	s := &size{bench: b, entries: entries, capacity: int(float64(entries) / b.options.Load)}
	random := rand.New(rand.NewPCG(1, uint64(entries)))
	shuffled := func(from int) []uint32 {
		n := make([]uint32, entries)
		for i := range n {
			n[i] = uint32(from + i)
		}
		random.Shuffle(entries, func(i, j int) { n[i], n[j] = n[j], n[i] })
		return n
	}
	s.arriving, s.asking, s.unknown = shuffled(0), shuffled(0), shuffled(entries)
	for _, k := range b.options.chosen() {
		s.subjects = append(s.subjects, &subject{kind: k, rounds: map[string]result.Rounds{}})
	}
	return s
}

func (s *size) measure() error {
	for round := range s.options.Rounds {
		for i := range s.subjects {
			t := s.subjects[(round+i)%len(s.subjects)]
			if err := s.step("%d entries, round %d: %s, insertion and expiry", s.entries, round+1, t.name); err != nil {
				return err
			}
			if err := s.fill(t); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	defer s.close()
	for _, t := range s.subjects {
		if err := s.populate(t); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	runtime.GC()
	for round := range s.options.Rounds {
		for i := range s.subjects {
			t := s.subjects[(round+i)%len(s.subjects)]
			if err := s.step("%d entries, round %d: %s, lookups", s.entries, round+1, t.name); err != nil {
				return err
			}
			s.lookups(t)
		}
	}
	return nil
}

// close gives up the tables that are filled.
func (s *size) close() {
	for _, t := range s.subjects {
		if t.store != nil {
			t.store.close()
			t.store = nil
		}
	}
	runtime.GC()
}

func (t *subject) add(figure string, value float64) {
	t.rounds[figure] = append(t.rounds[figure], value)
}

// results are the cases, xlvs first.
func (s *size) results() []result.TableCase {
	var cases []result.TableCase
	for _, t := range s.subjects {
		median := func(figure string) float64 { return t.rounds[figure].Median() }
		c := result.TableCase{
			Name: t.name, Entries: s.entries, Load: s.options.Load, Description: t.description,
			Lookup: median(figureLookup), LookupMiss: median(figureMiss), LookupSingle: median(figureSingle),
			Insert: median(figureInsert), Expire: median(figureExpire), Cores: s.options.Cores,
			LookupAll: median(figureLookupAll), InsertAll: median(figureInsertAll),
			CollectionNs: median(figureGC), BytesEntry: t.bytes, LostEntries: t.lost, Present: t.present, ExpireNote: t.noExpire,
			Rounds: t.rounds, Noisy: t.rounds[figureLookup].Noisy() || t.rounds[figureInsert].Noisy(),
		}
		if t.left > 0 {
			c.ExpireNote = fmt.Sprintf("%d entries were still there", t.left)
		}
		if t != s.subjects[0] {
			c.Ratios = ratios(t.rounds, s.subjects[0].rounds)
		}
		cases = append(cases, c)
	}
	return cases
}

// ratios are the medians of the rounds' ratios of what both have.
func ratios(of, to map[string]result.Rounds) map[string]float64 {
	r := map[string]float64{}
	for figure, rounds := range of {
		if theirs := result.Ratio(rounds, to[figure]); len(theirs) > 0 && figure != figureGC {
			r[figure] = theirs.Median()
		}
	}
	return r
}

// processTime is what f costs, in nanoseconds an operation.
func processTime(operations int, f func()) float64 {
	start := measure.ProcessTime()
	f()
	return float64((measure.ProcessTime() - start).Nanoseconds()) / float64(operations)
}
