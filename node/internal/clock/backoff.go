package clock

import (
	"context"
	"math/rand/v2"
	"time"
)

// A Backoff is the pause between attempts. It doubles from First to Last.
type Backoff struct {
	First, Last time.Duration
	Random      bool // each pause is from half to one and a half of that, so that not all nodes try at once

	next time.Duration
}

// Redial is the pause between attempts to reach a node.
func Redial() Backoff {
	return Backoff{First: 100 * time.Millisecond, Last: 2 * time.Second, Random: true}
}

// Sleep waits for the next pause, and reports whether ctx goes on after that.
func (b *Backoff) Sleep(ctx context.Context) bool { return Sleep(ctx, b.Next()) }

// Next returns the next pause.
func (b *Backoff) Next() time.Duration {
	b.next = max(b.First, min(2*b.next, b.Last))
	if b.Random {
		return b.next/2 + rand.N(b.next)
	}
	return b.next
}

// Reset has the next pause be the first one again.
func (b *Backoff) Reset() { b.next = 0 }
