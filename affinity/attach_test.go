package affinity

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/xlvs/xlvs/service"
	"pgregory.net/rapid"
)

var killConfig = Config{Connections4: 1500, Connections6: 1500, Templates4: 200, Templates6: 200, Servers: 16}

const (
	killKeys    = 512 // by worker and family
	killWorkers = 2
	// The journal follows the tables: for each worker and key one word, 0 while an
	// operation on the key is under way, else absent or the server that it is at.
	killJournal = killWorkers * killKeys * 2
	absent      = 1 << 40
)

// sharedMemory maps a file that outlives its writer, as pinned BPF memory does.
func sharedMemory(tb testing.TB, path string) (tables []byte, journal []line) {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	size := killConfig.Size() + killJournal*8 + lineBytes
	if err := f.Truncate(int64(size)); err != nil {
		tb.Fatal(err)
	}
	mem, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { syscall.Munmap(mem) })
	journal, err = viewLines(mem[killConfig.Size():])
	if err != nil {
		tb.Fatal(err)
	}
	return mem, journal
}

// TestKilled kills a process that works on the tables, at no particular instruction,
// and attaches to what it left: everything that an operation had reported done is
// there, nothing that was deleted is, and every word is in order.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tables")
	mem, journal := sharedMemory(t, path)
	tables, _ := format(t, mem, killConfig, 8)
	for round := range 40 {
		progress := &journal[killJournal/8][0]
		progress.Store(0)
		child := exec.Command(os.Args[0], "-test.run=^TestKilledChild$")
		child.Env = append(os.Environ(), "AFFINITY_KILL="+path, fmt.Sprint("AFFINITY_SEED=", round))
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); progress.Load() < 20000; runtime.Gosched() {
			if time.Now().After(deadline) {
				child.Process.Kill()
				t.Fatal("the child makes no progress")
			}
		}
		child.Process.Kill()
		child.Wait()
		var err error
		if tables, err = Attach(mem, killConfig); err != nil {
			t.Fatal(err)
		}
		audit(t, tables)
		checkJournal(t, tables, journal)
	}
	if s := tables.Stats(); s.Connections4.Live == 0 || s.Templates6.Live == 0 {
		t.Errorf("nothing survived: %+v", s)
	}
}

func checkJournal(t *testing.T, tables *Tables, journal []line) {
	t.Helper()
	for i := range killJournal {
		k := clientKey(i/2, i%2 == 1)
		word := journal[i/8][i%8].Load()
		e, ok := tables.Conns.Lookup(tables.Conns.Hash(&k), &k, 1)
		if word == absent && ok || word != absent && word != 0 && (!ok || uint64(e.Server()) != word) {
			t.Fatalf("key %d: journal says %#x, there is %v at %#x", i, word, ok, e.Server())
		}
	}
}

// TestKilledChild is the process that TestKilled kills; by itself it does nothing.
func TestKilledChild(t *testing.T) {
	path := os.Getenv("AFFINITY_KILL")
	if path == "" {
		return
	}
	mem, journal := sharedMemory(t, path)
	tables, err := Attach(mem, killConfig)
	if err != nil {
		t.Fatal(err)
	}
	ids := assign(t, tables, 8)
	var seed uint64
	fmt.Sscan(os.Getenv("AFFINITY_SEED"), &seed)
	var workers sync.WaitGroup
	for number := range killWorkers {
		r := rand.New(rand.NewPCG(seed, uint64(number)))
		workers.Go(func() {
			for {
				i := number*killKeys*2 + r.IntN(killKeys*2)
				killStep(tables, ids, i, &journal[i/8][i%8], r)
				journal[killJournal/8][0].Add(1)
			}
		})
	}
	workers.Wait()
}

// killStep inserts, deletes or changes a worker's own connection and keeps the journal.
func killStep(tables *Tables, ids []service.ID, i int, journal interface {
	Load() uint64
	Store(uint64)
}, r *rand.Rand) {
	k, nk := clientKey(i/2, i%2 == 1), networkKey(r.IntN(2000), i%2 == 1)
	h, nh := tables.Conns.Hash(&k), tables.Templates.Hash(&nk)
	was := journal.Load()
	journal.Store(0)
	e, ok := tables.Conns.Lookup(h, &k, 1)
	switch {
	case !ok:
		init := ConnInit{Server: ids[r.IntN(8)], State: StateTCPSynRecv, Grade: Lasting, Timeout: 1000}
		var o Outcome
		if e, o = tables.Conns.Insert(h, &k, &init, 1); o == Inserted {
			was = uint64(e.Server())
		} else {
			was = absent
		}
	case r.IntN(2) == 0:
		tables.Conns.Delete(&e)
		was = absent
	case r.IntN(2) == 0:
		te, o := tables.Templates.Insert(nh, &nk, ids[r.IntN(8)], 1, 1+Tick(r.IntN(2)))
		if o == Full {
			tables.Sweep(1, 2000)
		} else if tables.Templates.Assure(&te) {
			tables.Conns.Hold(&e, &te)
		}
	case r.IntN(4) == 0:
		fk := fragmentKey(i/2, i%2 == 1, uint32(r.IntN(64)))
		tables.Conns.SetFragment(tables.Conns.Hash(&fk), &fk, e.Server(), &e, 1, 240)
	default:
		tables.Conns.Update(&e, &anyMove, Event(1+r.IntN(8)), 1, lasting(1000))
	}
	journal.Store(was)
}

// TestTorn attaches to copies of the memory that were taken while it was written to. No
// kill leaves so little behind: words of a copy are of different moments.
func TestTorn(t *testing.T) {
	config := Config{Connections4: 1200, Connections6: 1200, Templates4: 300, Templates6: 300, Servers: 16}
	mem := mappedMemory(t, config)
	tables, ids := format(t, mem, config, 8)
	lines, _ := viewLines(mem)
	copied := heapMemory(config)
	to, _ := viewLines(copied)
	stop := make(chan struct{})
	var workers sync.WaitGroup
	journal := make([]line, 2*killJournal)
	for number := range 2 {
		r := rand.New(rand.NewPCG(3, uint64(number)))
		workers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					i := r.IntN(killKeys * 2)
					killStep(tables, ids, i, &journal[i/8+number*killJournal][i%8], r)
				}
			}
		})
	}
	for range 25 {
		for i := range lines {
			for w := range lines[i] {
				to[i][w].Store(lines[i][w].Load())
			}
		}
		again, err := Attach(copied, config)
		if err != nil {
			t.Error(err)
			break
		}
		if err := auditTables(again); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	workers.Wait()
	audit(t, tables)
}

func TestAttachRefuses(t *testing.T) {
	config := Config{Connections4: 100, Connections6: 100, Templates4: 10, Templates6: 10, Servers: 4}
	mem := heapMemory(config)
	if _, err := Attach(mem, config); !errors.Is(err, ErrUnformatted) {
		t.Errorf("fresh memory: %v", err)
	}
	format(t, mem, config, 1)
	other := config
	other.Templates6 = 11
	var mismatch *MismatchError
	if _, err := Attach(mem, other); !errors.As(err, &mismatch) || mismatch.Have != 10 || mismatch.Want != 11 {
		t.Errorf("other geometry: %v", err)
	}
	lines, _ := viewLines(mem)
	for word, what := range map[int]string{headerMagic: "magic number", headerVersion: "version", headerClock: "clock", headerSections: "place of IPv4 connections"} {
		old := lines[word/8][word%8].Load()
		lines[word/8][word%8].Store(old + 1)
		if _, err := Attach(mem, config); !errors.As(err, &mismatch) || mismatch.What != what {
			t.Errorf("another %s: %v", what, err)
		}
		lines[word/8][word%8].Store(old)
	}
	if _, err := Attach(mem[:len(mem)-1], config); err == nil {
		t.Error("memory that is too short is accepted")
	}
	if _, err := Attach(mem[8:], Config{Servers: 1}); err == nil {
		t.Error("memory that is not aligned is accepted")
	}
	for _, bad := range []Config{{}, {Servers: maxServers + 1}, {Servers: 1, Connections6: MaxEntries + 1}} {
		if _, err := Format(mem, bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	if _, err := Attach(mem, config); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

// TestAttachDrops: entries of servers that the directory does not know go, with their
// holds; the rest stays with its holders, states and flags.
func TestAttachDrops(t *testing.T) {
	config := Config{Connections4: 100, Connections6: 100, Templates4: 100, Templates6: 100, Servers: 4}
	mem := heapMemory(config)
	tables, ids := format(t, mem, config, 2)
	insert := func(n int, templateAt, at service.ID) {
		k, nk := clientKey(n, false), networkKey(n, false)
		te, _ := tables.Templates.Insert(tables.Templates.Hash(&nk), &nk, templateAt, 1, 50)
		e, _ := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &ConnInit{Server: at, State: StateTCPEstablished, Timeout: 50}, 1)
		tables.Conns.Hold(&e, &te)
	}
	unknown := service.MakeID(ids[1].Number(), 5)
	insert(0, ids[0], ids[0])
	insert(16, unknown, ids[1])
	insert(32, ids[1], unknown)
	tables, err := Attach(mem, config)
	if err != nil {
		t.Fatal(err)
	}
	audit(t, tables)
	held := map[service.ID]bool{}
	tables.Conns.Range(1, func(c Conn) bool { held[c.Server] = c.Persistent; return true })
	if len(held) != 2 || !held[ids[0]] || held[ids[1]] {
		t.Errorf("connections by server, and whether persistent: %v", held)
	}
	holders := map[service.ID]uint32{}
	tables.Templates.Range(1, func(c Template) bool { holders[c.Server] = c.Holders; return true })
	if len(holders) != 2 || holders[ids[0]] != 1 || holders[ids[1]] != 0 {
		t.Errorf("holders by template's server: %v", holders)
	}
	if s := tables.Stats(); s.Connections4.Attached != 2 || s.Connections4.Inserted != 0 || s.Templates4.Attached != 2 {
		t.Errorf("%+v", s)
	}
}

// TestCorrupt attaches to tables in which some words were overwritten: whatever they
// are, Attach makes something sound of it or refuses.
func TestCorrupt(t *testing.T) {
	config := Config{Connections4: 300, Connections6: 300, Templates4: 100, Templates6: 100, Servers: 16}
	mem := heapMemory(config)
	lines, _ := viewLines(mem)
	rapid.Check(t, func(r *rapid.T) {
		tables, ids := format(t, mem, config, 8)
		var journal line
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 1))
		for i := range 500 {
			killStep(tables, ids, i, &journal[0], random)
		}
		for range rapid.IntRange(1, 200).Draw(r, "words") {
			// Small deviations and exchanged words do more harm than noise.
			at, other := random.IntN(len(lines)*8), random.IntN(len(lines)*8)
			value := [...]uint64{random.Uint64(), lines[at/8][at%8].Load() ^ 1<<random.IntN(64), lines[other/8][other%8].Load(), 0}[random.IntN(4)]
			lines[at/8][at%8].Store(value)
		}
		again, err := Attach(mem, config)
		var mismatch *MismatchError
		if err != nil && !errors.As(err, &mismatch) && !errors.Is(err, ErrUnformatted) {
			r.Fatal(err)
		}
		if err == nil {
			if err := auditTables(again); err != nil {
				r.Fatal(err)
			}
		}
	})
}

// TestAttachHidesNothing: while the tables are taken over, whoever looks into them, as the
// express lane of the last process does, finds every entry all the time.
func TestAttachHidesNothing(t *testing.T) {
	const entries = 3000
	config := Config{Connections4: entries, Connections6: entries, Templates4: 100, Templates6: 100, Servers: 4}
	mem := heapMemory(config)
	tables, ids := format(t, mem, config, 1)
	keys := make([]Key, 0, 2*entries)
	for n := range entries {
		for _, v6 := range []bool{false, true} {
			k := clientKey(n, v6)
			init := ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: Assured, Timeout: 1000}
			if _, o := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &init, 1); o != Inserted {
				t.Fatal(o)
			}
			keys = append(keys, k)
		}
	}
	for _, tb := range tables.tables { // locks of workers that were killed
		for home := 0; home < len(tb.buckets); home += 7 {
			tb.buckets[home].Or(bucketLock)
		}
	}
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for i := 0; !stop.Load(); i = (i + 1) % len(keys) {
				k := &keys[i]
				if _, ok := tables.Conns.Lookup(tables.Conns.Hash(k), k, 1); !ok {
					t.Errorf("entry %d was hidden", i)
					return
				}
			}
		})
	}
	for range 30 {
		next, err := Attach(mem, config)
		if err != nil {
			t.Error(err)
			break
		}
		if err := auditTables(next); err != nil {
			t.Error(err)
			break
		}
	}
	stop.Store(true)
	readers.Wait()
}

// TestAttachKeepsWhatIsWritten: what the express lane writes while the tables are taken over stays.
func TestAttachKeepsWhatIsWritten(t *testing.T) {
	config := Config{Connections4: 200, Templates4: 100, Servers: 4}
	mem := heapMemory(config)
	tables, ids := format(t, mem, config, 1)
	k, nk := clientKey(0, false), networkKey(0, false)
	h := tables.Conns.Hash(&k)
	te, _ := tables.Templates.Insert(tables.Templates.Hash(&nk), &nk, ids[0], 1, 1000)
	init := ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: Assured, Timeout: 1000}
	e, _ := tables.Conns.Insert(h, &k, &init, 1)
	tables.Conns.Hold(&e, &te)
	var stop atomic.Bool
	var lane sync.WaitGroup
	lane.Go(func() {
		for now := Tick(10); !stop.Load(); now += TicksPerSecond {
			tables.Conns.Update(&e, &inputOnly, evAck, now, lasting(1000))
			if again, _ := tables.Conns.Lookup(h, &k, now); again.Expiry() != renewed(now, 1000) {
				t.Errorf("at %d the expiry is %d", now, again.Expiry())
				return
			}
		}
	})
	slot := &tables.tables[connections4].slot(e.slot())[life]
	for range 300 {
		// As if the process had been killed before it wrote whose the template is.
		setOther(slot, incarnation(te.ident)+1)
		if _, err := Attach(mem, config); err != nil {
			t.Error(err)
			break
		}
		tables.tables[connections4].slot(e.slot())[bind].Store(e.bind)
	}
	stop.Store(true)
	lane.Wait()
}

// TestAttachDropsUnknownFlags: what a later version wrote that this one does not know of goes.
func TestAttachDropsUnknownFlags(t *testing.T) {
	config := Config{Connections4: 100, Servers: 4}
	mem := heapMemory(config)
	tables, ids := format(t, mem, config, 1)
	for n := range 8 {
		k := clientKey(n, false)
		e, _ := tables.Conns.Insert(tables.Conns.Hash(&k), &k, &ConnInit{Server: ids[0], State: StateTCPEstablished, Grade: MaxGrade, Timeout: 9}, 1)
		if n > 2 {
			word := &tables.tables[connections4].slot(e.slot())[life]
			word.Store(word.Load() | 1<<(lifeFlags+n))
		}
	}
	tables, err := Attach(mem, config)
	if err != nil {
		t.Fatal(err)
	}
	if live := tables.Stats().Connections4.Live; live != 3 {
		t.Errorf("%d of 8 are left, want 3", live)
	}
	audit(t, tables)
}
