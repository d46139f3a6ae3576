//go:build !race

package affinity

// raceDetector tells whether the program is built with -race.
const raceDetector = false
