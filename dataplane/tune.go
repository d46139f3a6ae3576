package dataplane

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/ring"
)

// SetBatch changes WorkerConfig.Batch between two batches.
func (w *Worker) SetBatch(n int) error {
	if n < 1 || n > MaxBatch {
		return fmt.Errorf("batch %d: want 1 to %d", n, MaxBatch)
	}
	return w.tune(func() error {
		w.config.Batch = n
		w.descs, w.frames, w.verdicts = make([]ring.Desc, n), make([]Frame, n), make([]Verdict, n)
		for i := range w.ports {
			w.ports[i].reserve(n)
		}
		return nil
	})
}

// SetSpin changes WorkerConfig.Spin.
func (w *Worker) SetSpin(spin bool) error {
	return w.tune(func() error {
		w.config.Spin = spin
		return nil
	})
}

// Pin moves the worker's thread to a CPU.
func (w *Worker) Pin(cpu int) error {
	return w.tune(func() error {
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("pin worker of queue %d to cpu %d: %w", w.config.Queue, cpu, err)
		}
		w.config.CPU = cpu
		return nil
	})
}

// Place is the ID of the worker's thread, 0 if it has ended, and its CPU, -1 for any.
func (w *Worker) Place() (thread, cpu int) {
	cpu = -1
	w.Do(func() { thread, cpu = unix.Gettid(), w.config.CPU })
	return thread, cpu
}

// EachSocket calls f with every open socket on the worker's thread, between two batches.
func (w *Worker) EachSocket(f func(*ring.Socket) error) error {
	return w.tune(func() error {
		for _, s := range w.sockets {
			if err := f(s); err != nil {
				return err
			}
		}
		return nil
	})
}

// tune runs f on the worker's thread.
func (w *Worker) tune(f func() error) (err error) {
	if !w.Do(func() { err = f() }) {
		return fmt.Errorf("worker of queue %d has ended", w.config.Queue)
	}
	return err
}
