// Package trace carries a trace in a context: the traceparent, tracestate and baggage of the
// W3C's Trace Context (Recommendation of 2021) and Baggage (Candidate Recommendation of 2024).
package trace

import (
	"context"
	"regexp"
	"strings"
)

// A Key is the key of contexts under which a trace is found, as Join writes it.
type Key struct{}

// Section 3.2 of Trace Context: no version ff, and no id of zeros.
var (
	valid   = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	invalid = regexp.MustCompile(`^ff|-0+-`)
)

// The most bytes of a tracestate, which Trace Context wants propagated, and of baggage. Of
// baggage, a cluster that serves ids should not carry the 8 KiB that the specification wants.
const (
	MaxState   = 512
	MaxBaggage = 2048
)

// Join returns a trace as one text: traceparent, tracestate and baggage on a line each, without
// empty lines at the end. A traceparent that is not valid is no trace. A tracestate or baggage
// that is too long, or has other bytes than a header may, is left out.
func Join(parent, state, baggage string) string {
	if !valid.MatchString(parent) || invalid.MatchString(parent) {
		return ""
	}
	if !isHeader(state, MaxState) {
		state = ""
	}
	if !isHeader(baggage, MaxBaggage) {
		baggage = ""
	}
	return strings.TrimRight(parent+"\n"+state+"\n"+baggage, "\n")
}

// isHeader reports whether a text has at most so many bytes, all of which a header may have.
func isHeader(s string, most int) bool {
	return len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// Split takes apart what Join has put together.
func Split(trace string) (parent, state, baggage string) {
	parent, rest, _ := strings.Cut(trace, "\n")
	state, baggage, _ = strings.Cut(rest, "\n")
	return parent, state, baggage
}

// With returns a context with a trace, as Join writes it. One that is not valid changes
// nothing.
func With(ctx context.Context, trace string) context.Context {
	if trace = Join(Split(trace)); trace == "" {
		return ctx
	}
	return context.WithValue(ctx, Key{}, trace)
}

// Of returns the trace of a context, as Join writes it, or "".
func Of(ctx context.Context) string {
	trace, _ := ctx.Value(Key{}).(string)
	return trace
}

// TokenKey is the key of a call's token, a worker.Token, among the values of a context.
type TokenKey struct{}

// WaitersKey is the key of contexts of runs under which there is a func() []string, which
// returns the traces of the requests that wait for the run now.
type WaitersKey struct{}
