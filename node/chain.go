package node

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A server that calls its own id would wait for itself, and so would a source that asks for the value that it is to
// load. So the context of a run carries the chain of workers that wait for it, the first one first, and a call for one of
// them fails. The chain crosses to other nodes with each call.

const (
	maxChain      = 16      // workers; the last ones are kept
	maxChainBytes = 1 << 10 // likewise
)

// A cause is the call for which a worker runs.
type cause struct {
	chain    string    // the workers that wait for the caller, each as link has it, one a line
	of       key       // the worker that runs; zero if none does
	deadline time.Time // of the caller; zero if there are many callers
}

type causeKey struct{}

func causeOf(ctx context.Context) (c cause) {
	c, _ = ctx.Value(causeKey{}).(cause)
	return c
}

// chainOf returns the chain of workers that wait for what is done under ctx.
func chainOf(ctx context.Context) string {
	c := causeOf(ctx)
	if c.of == (key{}) {
		return c.chain
	}
	return lengthened(c.chain, link(c.of.Kind, c.of.ID))
}

func withCause(ctx context.Context, c cause) context.Context {
	if c == (cause{}) {
		return ctx
	}
	return context.WithValue(ctx, causeKey{}, c)
}

// DeadlineOf returns when the caller of a [worker.Server] gives up, for the context of its Call. That context itself ends at the
// kind's Timeout, so a server that has begun is not interrupted when its caller goes. It reports false if the
// context is not that of a Call.
func DeadlineOf(ctx context.Context) (deadline time.Time, ok bool) {
	deadline = causeOf(ctx).deadline
	return deadline, !deadline.IsZero()
}

// link is a worker in a chain. It has no line breaks.
func link(kind string, id worker.ID) string {
	if kind == "" {
		kind = DefaultKind
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

// checkCycle returns an error if the worker of id waits for what is done in a chain.
func checkCycle(chain, kind string, id worker.ID) error {
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
