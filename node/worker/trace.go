package worker

import (
	"context"

	"github.com/distproc/distproc/node/internal/trace"
)

// WithTrace returns a context whose requests are part of a trace. The traceparent of W3C
// Trace Context names it, such as
// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01. One that is not valid changes
// nothing.
//
// The trace goes with a request to the node that answers, into its log, and to the
// source.
func WithTrace(ctx context.Context, traceparent string) context.Context {
	return trace.With(ctx, traceparent)
}

// TraceOf returns the traceparent of a context, or "". A [Source], a [Factory] and a
// [Server] find there that of the request for which they run; of many that wait for one
// run, that of the first.
func TraceOf(ctx context.Context) string { return trace.Of(ctx) }
