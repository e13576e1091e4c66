package worker

import (
	"context"
	"time"
)

type limitKey struct{}

// WithTimeLimit returns a context that gives each call made with it at most d, from when
// it is made, or less if ctx ends before. The context itself does not end by that, so one
// is enough for any number of calls. With [context.WithTimeout] each call would need a
// context and a timer of its own, which takes longer than many a call. A time limit is
// kept as precisely as [DefaultTimeout], to some 40 ms.
func WithTimeLimit(ctx context.Context, d time.Duration) context.Context {
	if outer, ok := TimeLimitOf(ctx); ok {
		d = min(d, outer)
	}
	return context.WithValue(ctx, limitKey{}, min(d, Forever))
}

// TimeLimitOf returns the time limit that [WithTimeLimit] has given to the calls of ctx,
// if it has.
func TimeLimitOf(ctx context.Context) (d time.Duration, ok bool) {
	d, ok = ctx.Value(limitKey{}).(time.Duration)
	return d, ok
}
