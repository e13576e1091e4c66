package registry

import (
	"context"
	"log/slog"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Host is the node around a registry, which calls its methods without holding locks.
type Host interface {
	// HandOff takes the answers of workers whose ids belong to another node now. It does
	// not block, and keeps nothing of the list.
	HandOff([]Answer)

	// AwaitRoom returns when HandOff has room for the answers of a few dozen workers, or
	// when ctx ends. HandOff drops what it has no room for.
	AwaitRoom(context.Context)

	// Hurries reports whether the node leaves: then answers that move leave as fast as
	// they can, whatever that does to calls.
	Hurries() bool

	// Claim returns when no other node has a server of the key, or why that cannot be.
	Claim(context.Context, worker.Key) *wire.Error

	// NotOwner returns the error of a call for an id that belongs to another node.
	NotOwner(worker.ID) *wire.Error
}

// A Config describes a registry.
type Config struct {
	Name            string // of the kind
	Kind            worker.Kind
	Node            string // NAME@HOST
	Host            Host
	Guard           Guard           // of a strict kind; else nil
	Clock           *clock.Process  // of the node
	Admission       *Admission      // of all kinds of the node, or some
	Values          *Values         // of all kinds of the node
	PredecessorDone <-chan struct{} // Done of the last kind that had the name; nil if there was none
	Logger          *slog.Logger    // it never blocks
}

// New returns a registry. The caller closes it. A kind stays a cache or serial for as
// long as its registry lives.
func New(c Config) *Registry {
	r := &Registry{table: newTable(c)}
	if _, ok := c.Kind.(worker.Serial); ok {
		r.actor = newActor(r.table)
		r.machine = r.actor
	} else {
		r.cache = &cache{table: r.table, values: c.Values}
		r.machine = r.cache
		c.Values.add(r.cache)
	}
	r.SetKind(c.Kind)
	r.callers.New = func() any { return newCaller(r) }
	return r
}
