// Package backoff says how long to wait before the next try: exponential, with full jitter, so that many clients do not come
// back as one.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// Initial is the longest first pause.
	Initial = 50 * time.Millisecond
	// Max is the longest pause that was not asked for.
	Max = 3 * time.Second
)

// Backoff is one sequence of pauses. Its zero value begins with the shortest.
type Backoff struct {
	ceiling time.Duration
}

// Pause returns the next pause: at least retryAfter, spread a little beyond it, when that is positive.
func (b *Backoff) Pause(retryAfter time.Duration) time.Duration {
	ceiling := max(b.ceiling, Initial)
	b.ceiling = min(ceiling*2, Max)
	if retryAfter > 0 {
		return retryAfter + rand.N(ceiling)
	}
	return ceiling/4 + rand.N(ceiling*3/4)
}

// Reset begins again: something worked.
func (b *Backoff) Reset() { b.ceiling = 0 }

// Sleep waits; it returns the context's error when that ends first.
func Sleep(ctx context.Context, pause time.Duration) error {
	if pause <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
