package control

import "golang.org/x/sys/unix"

// processCPUs are the CPUs that the process may use, the last first: those of
// the calling thread, which must not be a worker's.
func processCPUs() []int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil
	}
	var cpus []int
	for cpu := len(set)*64 - 1; cpu >= 0; cpu-- {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// workerCPUs is where workers run, in turn: where the configuration says, or
// on the CPUs that the process may use, the last first, because the first has
// the most other work as a rule. -1 is anywhere.
func (d *Director) workerCPUs() []int {
	if len(d.tuning.cpus) > 0 {
		return d.tuning.cpus
	}
	if len(d.cpus) > 0 {
		return d.cpus
	}
	return []int{-1}
}
