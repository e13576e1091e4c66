// Package clock handles the deadlines of calls: the default deadline, the time that is
// left, and pauses that end with the call.
package clock

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// WithDefault gives ctx a deadline of [worker.DefaultTimeout] if it has none.
func WithDefault(ctx context.Context) (context.Context, context.CancelFunc) {
	return WithTimeout(ctx, worker.DefaultTimeout)
}

// WithTimeout gives ctx a deadline if it has none.
func WithTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// Left returns the time until the deadline of ctx, [worker.Forever] at most, or
// [worker.DefaultTimeout] if it has none.
func Left(ctx context.Context) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return min(time.Until(d), worker.Forever)
	}
	return worker.DefaultTimeout
}

// Sleep waits for d or until ctx ends. It reports whether the caller should go on: false
// means that ctx has ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// IsDone reports whether a channel is closed.
func IsDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
