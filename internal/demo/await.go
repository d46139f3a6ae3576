package demo

import (
	"context"
	"time"
)

// pollInterval is how often a condition is looked at.
const pollInterval = 10 * time.Millisecond

// await waits until a condition holds, and says whether it did before the
// deadline and the end of ctx.
func await(ctx context.Context, deadline time.Duration, holds func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
