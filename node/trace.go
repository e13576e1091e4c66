package node

import (
	"context"
	"regexp"
)

// A trace is a traceparent of W3C Trace Context (Recommendation of 2021, section 3.2: no version ff, no id of zeros), which names what a request is part of. It
// goes with the request to the node that answers, into its log, and to the source.

var tracePattern = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

var invalidTrace = regexp.MustCompile(`^ff|-0+-`)

type traceKey struct{}

// WithTrace returns a context whose requests are part of the trace that a traceparent names, such as
// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01. What is none changes nothing.
func WithTrace(ctx context.Context, traceparent string) context.Context {
	if !tracePattern.MatchString(traceparent) || invalidTrace.MatchString(traceparent) {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, traceparent)
}

// TraceOf returns the traceparent of a context, or "". A [Source], a [Factory] and a [Server] find there that of the request for
// which they run; of many that wait for one run, that of the first.
func TraceOf(ctx context.Context) string {
	traceparent, _ := ctx.Value(traceKey{}).(string)
	return traceparent
}
