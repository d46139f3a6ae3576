package nic

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"golang.org/x/sys/unix"
)

// Journal changes settings of interfaces and knows what they were before, in a
// file that outlives the process: what a killed process changed can be put back
// by the next one. A change is written down before it is made.
//
// A setting that has changed again by other hands since is left alone.
//
// A Journal belongs to one goroutine. Its calls may block for milliseconds.
type Journal struct {
	path    string
	changes []Change
}

// Change is one setting that was changed, and how.
type Change struct {
	Interface string `json:"interface"`
	Index     int    `json:"index"` // of the interface; another one of its name is not meant
	// NAPI is the instance whose Timers changed; 0 is the interface as a whole.
	NAPI uint32 `json:"napi,omitempty"`

	TimersWere, TimersSet *Timers     `json:",omitempty"`
	CoalescingWas         *Coalescing `json:",omitempty"` // the fields that were set
	CoalescingSet         *Coalescing `json:",omitempty"`
}

// OpenJournal opens the journal at path and puts back what a former process left
// changed: done says what, one line each. A setting that cannot be put back is an
// error beside a journal that works, and stays in the file.
func OpenJournal(path string) (j *Journal, done []string, err error) {
	j = &Journal{path: path}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil, nil
	}
	if err != nil {
		return j, nil, fmt.Errorf("journal of interface settings: %w", err)
	}
	if err := json.Unmarshal(data, &j.changes); err != nil {
		return j, nil, fmt.Errorf("journal of interface settings %s: %w: look at what it says, then remove it", path, err)
	}
	done, err = j.Restore()
	return j, done, err
}

// Changes lists what is changed at the moment.
func (j *Journal) Changes() []Change { return slices.Clone(j.changes) }

// Restore puts everything back and removes the file; done says what, one line
// each. What cannot be put back stays in the journal.
func (j *Journal) Restore() (done []string, err error) {
	return j.restore(func(*Change) bool { return true })
}

// RestoreTimers puts the NAPI timers of all interfaces back.
func (j *Journal) RestoreTimers() error {
	_, err := j.restore(func(c *Change) bool { return c.TimersSet != nil })
	return err
}

// RestoreCoalescing puts the coalescing of an interface back.
func (j *Journal) RestoreCoalescing(name string) error {
	_, err := j.restore(func(c *Change) bool { return c.CoalescingSet != nil && c.Interface == name })
	return err
}

func (j *Journal) restore(which func(*Change) bool) (done []string, err error) {
	var errs []error
	var left []Change
	for i := len(j.changes) - 1; i >= 0; i-- {
		c := &j.changes[i]
		if !which(c) {
			left = append(left, *c)
			continue
		}
		what, err := c.undo()
		if err != nil {
			errs, left = append(errs, err), append(left, *c)
		}
		if what != "" {
			done = append(done, what)
		}
	}
	slices.Reverse(left)
	j.changes = left
	return done, errors.Join(append(errs, j.write())...)
}

// write makes the file what the journal is.
func (j *Journal) write() error {
	if len(j.changes) == 0 {
		if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("journal of interface settings: %w", err)
		}
		return nil
	}
	data, err := json.MarshalIndent(j.changes, "", "  ")
	if err != nil {
		return fmt.Errorf("journal of interface settings: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(j.path), 0o755); err != nil {
		return fmt.Errorf("journal of interface settings: %w", err)
	}
	temporary := j.path + ".new"
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("journal of interface settings: %w", err)
	}
	if err := os.Rename(temporary, j.path); err != nil {
		return fmt.Errorf("journal of interface settings: %w", err)
	}
	return nil
}

// SetTimers gives the NAPI instances of an interface these timers: those of the
// given receive queues, and those of which the driver does not tell the queues.
// Before Linux 6.13 it is all, and those to come. It may be called again when the
// instances have changed.
func (j *Journal) SetTimers(name string, ifindex int, queues []int, t Timers) error {
	napis, err := ReadNAPIs(ifindex)
	if err != nil && !Unsupported(err) {
		return err
	}
	if len(napis) == 0 || napis[0].Timers == nil {
		return j.setInterfaceTimers(name, ifindex, t)
	}
	var errs []error
	for _, n := range napis {
		if n.Serves(queues) && *n.Timers != t {
			errs = append(errs, j.change(Change{Interface: name, Index: ifindex, NAPI: n.ID, TimersWere: n.Timers, TimersSet: &t}))
		}
	}
	return errors.Join(errs...)
}

func (j *Journal) setInterfaceTimers(name string, ifindex int, t Timers) error {
	was, err := InterfaceTimers(name, ifindex)
	if err != nil {
		return fmt.Errorf("interface %s: NAPI timers: %w", name, err)
	}
	if was == t {
		return nil
	}
	return j.change(Change{Interface: name, Index: ifindex, TimersWere: &was, TimersSet: &t})
}

// SetCoalescing changes when an interface interrupts, as far as c says.
func (j *Journal) SetCoalescing(name string, ifindex int, c Coalescing) error {
	now, err := ReadCoalescing(name)
	if err != nil {
		return err
	}
	was := now.only(c)
	if lacking := c.lacking(was); lacking != "" {
		return fmt.Errorf("interface %s: its driver has no %s: %w", name, lacking, unix.EOPNOTSUPP)
	}
	if reflect.DeepEqual(was, c) {
		return nil
	}
	return j.change(Change{Interface: name, Index: ifindex, CoalescingWas: &was, CoalescingSet: &c})
}

// change writes a change down and makes it. One that is refused is forgotten.
func (j *Journal) change(c Change) error {
	before := slices.Clone(j.changes)
	if i := slices.IndexFunc(j.changes, c.sameSetting); i >= 0 { // the first value is the one to go back to
		was := j.changes[i]
		c.TimersWere = was.TimersWere
		if c.CoalescingSet != nil {
			first := c.CoalescingWas.With(*was.CoalescingWas)
			set := was.CoalescingSet.With(*c.CoalescingSet)
			c.CoalescingWas, c.CoalescingSet = &first, &set
		}
		j.changes = slices.Delete(j.changes, i, i+1)
	}
	j.changes = append(j.changes, c)
	if err := j.write(); err != nil {
		j.changes = before
		return err
	}
	if err := c.apply(c.TimersSet, c.CoalescingSet); err != nil {
		j.changes = before
		return errors.Join(err, j.write())
	}
	return nil
}

func (c *Change) sameSetting(o Change) bool {
	return c.Interface == o.Interface && c.Index == o.Index && c.NAPI == o.NAPI && (c.TimersSet == nil) == (o.TimersSet == nil)
}

func (c *Change) apply(t *Timers, coalescing *Coalescing) error {
	switch {
	case coalescing != nil:
		return SetCoalescing(c.Interface, *coalescing)
	case c.NAPI != 0:
		return SetNAPI(c.NAPI, *t)
	default:
		return SetInterfaceTimers(c.Interface, c.Index, *t)
	}
}

// undo puts a setting back and says so. It does nothing, and says that, where the
// interface is gone or somebody else has changed the setting since.
func (c *Change) undo() (what string, err error) {
	ifi, err := net.InterfaceByName(c.Interface)
	if err != nil || ifi.Index != c.Index {
		return "", nil // its settings went with it
	}
	if c.CoalescingSet != nil {
		now, err := ReadCoalescing(c.Interface)
		if err != nil {
			return "", err
		}
		is := now.only(*c.CoalescingSet)
		if reflect.DeepEqual(is, *c.CoalescingWas) {
			return "", nil
		}
		if !reflect.DeepEqual(is, *c.CoalescingSet) {
			return fmt.Sprintf("left coalescing of %s: changed by somebody else since", c.Interface), nil
		}
		return fmt.Sprintf("coalescing of %s as before", c.Interface), c.apply(nil, c.CoalescingWas)
	}
	now, err := c.timersNow()
	switch {
	case err != nil:
		return "", err
	case now == nil || *now == *c.TimersWere:
		return "", nil
	case *now != *c.TimersSet:
		return fmt.Sprintf("left NAPI of %s at %v: changed by somebody else since", c.Interface, now), nil
	}
	return fmt.Sprintf("NAPI of %s: %v", c.Interface, c.TimersWere), c.apply(c.TimersWere, nil)
}

// timersNow reads the timers of a change, nil if the instance is gone.
func (c *Change) timersNow() (*Timers, error) {
	if c.NAPI == 0 {
		t, err := InterfaceTimers(c.Interface, c.Index)
		return &t, err
	}
	napis, err := ReadNAPIs(c.Index)
	if err != nil {
		return nil, err
	}
	for _, n := range napis {
		if n.ID == c.NAPI {
			return n.Timers, nil
		}
	}
	return nil, nil
}
