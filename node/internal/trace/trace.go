// Package trace carries the name of a trace in a context: the traceparent of W3C Trace
// Context (Recommendation of 2021).
package trace

import (
	"context"
	"regexp"
)

// A Key is the key of contexts under which the traceparent is found.
type Key struct{}

// Section 3.2 of the recommendation: no version ff, and no id of zeros.
var (
	valid   = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	invalid = regexp.MustCompile(`^ff|-0+-`)
)

// With returns a context with a traceparent. One that is not valid changes nothing.
func With(ctx context.Context, traceparent string) context.Context {
	if !valid.MatchString(traceparent) || invalid.MatchString(traceparent) {
		return ctx
	}
	return context.WithValue(ctx, Key{}, traceparent)
}

// Of returns the traceparent of a context, or "".
func Of(ctx context.Context) string {
	traceparent, _ := ctx.Value(Key{}).(string)
	return traceparent
}

// TokenKey is the key of a call's token, a worker.Token, among the values of a context.
type TokenKey struct{}
