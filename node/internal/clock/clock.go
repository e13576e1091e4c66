// Package clock handles the deadlines of calls: the default deadline, the time that is
// left, and pauses that end with the call.
package clock

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// WithDefault gives ctx the deadline of a call that begins now: see [Left].
func WithDefault(ctx context.Context) (context.Context, context.CancelFunc) {
	return WithRest(ctx, 0)
}

// WithRest is WithDefault for a call that has taken some time already.
func WithRest(ctx context.Context, took time.Duration) (context.Context, context.CancelFunc) {
	if limit, ok := worker.TimeLimitOf(ctx); ok {
		return context.WithTimeout(ctx, limit-took)
	}
	return WithTimeout(ctx, worker.DefaultTimeout-took)
}

// WithTimeout gives ctx a deadline if it has none.
func WithTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// Left returns how long a call may take that begins now: until the deadline of ctx, and
// no longer than its time limit. If it has neither, that is [worker.DefaultTimeout].
func Left(ctx context.Context) time.Duration {
	limit, limited := worker.TimeLimitOf(ctx)
	d, ok := ctx.Deadline()
	switch {
	case ok && limited:
		return min(time.Until(d), limit)
	case ok:
		return min(time.Until(d), worker.Forever)
	case limited:
		return limit
	}
	return worker.DefaultTimeout
}

// Ends reports whether ctx itself ends when a call has taken all its time.
func Ends(ctx context.Context) bool {
	_, limited := worker.TimeLimitOf(ctx)
	_, ok := ctx.Deadline()
	return ok && !limited
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
