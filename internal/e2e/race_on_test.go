//go:build race

package e2e

// slowness is about how many times slower the race detector makes a director's
// control plane.
const slowness = 5
