package worker

import (
	"context"
	"strings"

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

// WithTraceContext is WithTrace with a tracestate, of at most 512 bytes, and baggage, of at
// most 2,048. One that is longer, or that a header cannot have, is left out. Nodes of
// versions that do not know of them pass on the traceparent alone.
func WithTraceContext(ctx context.Context, traceparent, tracestate, baggage string) context.Context {
	return trace.With(ctx, trace.Join(traceparent, tracestate, baggage))
}

// TraceOf returns the traceparent of a context, or "". A [Source], a [Factory] and a
// [Server] find there that of the request for which they run; of many that wait for one
// run, that of the first.
func TraceOf(ctx context.Context) string {
	parent, _, _ := strings.Cut(trace.Of(ctx), "\n")
	return parent
}

// TraceContextOf returns the traceparent of a context, as [TraceOf] does, and the tracestate
// and the baggage that came with it.
func TraceContextOf(ctx context.Context) (traceparent, tracestate, baggage string) {
	return trace.Split(trace.Of(ctx))
}
