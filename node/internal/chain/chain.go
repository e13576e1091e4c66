// Package chain finds calls that would wait for themselves.
//
// A server that calls its own id would wait for itself, and so would a source that
// requests the value that it is to load. So the context of a run carries the chain of
// workers that wait for it, the first one first, and [Check] refuses a call to one of
// them. The chain crosses to other nodes with each call. It is bounded: what is longer
// loses its beginning, so that a very long cycle ends by its deadline.
package chain

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const (
	maxChain      = 16      // workers; the last ones are kept
	maxChainBytes = 1 << 10 // likewise
)

// A Cause is the call for which a worker runs.
type Cause struct {
	Chain    string     // the workers that wait for the caller, each as link has it, one a line
	Of       worker.Key // the worker that runs; zero if none does
	Deadline time.Time  // of the caller; zero if there are many callers
}

// A Key is the key of contexts under which the [Cause] is found.
type Key struct{}

// CauseOf returns the cause of what is done under ctx.
func CauseOf(ctx context.Context) (c Cause) {
	c, _ = ctx.Value(Key{}).(Cause)
	return c
}

// Of returns the chain of workers that wait for what is done under ctx.
func Of(ctx context.Context) string {
	c := CauseOf(ctx)
	if c.Of == (worker.Key{}) {
		return c.Chain
	}
	return lengthened(c.Chain, link(c.Of.Kind, c.Of.ID))
}

// With returns a context with a cause.
func With(ctx context.Context, c Cause) context.Context {
	if c == (Cause{}) {
		return ctx
	}
	return context.WithValue(ctx, Key{}, c)
}

// link is a worker in a chain. It has no line breaks.
func link(kind string, id worker.ID) string {
	if kind == "" {
		kind = worker.DefaultKind
	}
	return kind + "/" + url.PathEscape(id.String())
}

// lengthened returns the chain with a worker more.
func lengthened(chain, link string) string {
	if chain != "" {
		link = chain + "\n" + link
	}
	for strings.Count(link, "\n") >= maxChain || len(link) > maxChainBytes {
		_, link, _ = strings.Cut(link, "\n")
	}
	return link
}

// Check returns an error if the worker of id waits for what is done in a chain.
func Check(chain, kind string, id worker.ID) *wire.Error {
	if chain == "" {
		return nil
	}
	links, next := strings.Split(chain, "\n"), link(kind, id)
	i := slices.Index(links, next)
	if i < 0 {
		return nil
	}
	text := strings.Join(append(links[i:], next), " → ")
	return wire.Errorf(wire.CallCycle, wire.NotRun, "%s; do without that call, or make it when this one has been answered", text)
}
