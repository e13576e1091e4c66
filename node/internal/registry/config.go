package registry

import (
	"context"
	"log/slog"
	"time"

	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Host is the node around a registry, which calls its methods without holding locks.
type Host interface {
	// HandOver takes the answers of workers whose ids are another node's now. It does not
	// block.
	HandOver([]Answer)

	// Claim returns when no other node has a server of the key, or why that cannot be.
	Claim(context.Context, worker.Key) *wire.Error

	// Standstills returns how often other nodes may have taken this one's place, because
	// its process stood still.
	Standstills() uint64

	// NotOwner returns the error of a call for an id that is another node's.
	NotOwner(worker.ID) *wire.Error
}

// A Config describes a registry.
type Config struct {
	Name      string // of the kind
	Kind      worker.Kind
	Node      string // NAME@HOST
	Host      Host
	Admission *Admission      // of all kinds of the node, or some
	Values    *Values         // of all kinds of the node
	Before    <-chan struct{} // Over of the last kind that had the name; nil if there was none
	Logger    *slog.Logger    // it never blocks
}

// New returns a registry. The caller closes it.
func New(c Config) *Registry {
	_, isSerial := c.Kind.(worker.Serial)
	r := &Registry{
		name: c.Name, node: c.Node, host: c.Host, admission: c.Admission, values: c.Values, before: c.Before, log: c.Logger,
		crashes: boundedlog.NewLimit(), base: time.Now(), serial: isSerial,
	}
	r.over = make(chan struct{})
	r.SetKind(c.Kind)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.sweeper.r = r
	r.runners = newRunners()
	r.callers.New = func() any { return newCaller() }
	r.values.add(r)
	return r
}
