package node

import (
	"context"
	"sync/atomic"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
)

// num returns the integer of an id that is one.
func num(id worker.ID) int64 {
	n, _ := id.Int64()
	return n
}

// live returns how many workers live.
func live(r *registry.Registry) int {
	n, _, _ := r.Count()
	return n
}

// counter is a source that counts its runs: the first value is 1.
func counter() worker.Source {
	var runs atomic.Int64
	return func(context.Context, worker.ID) (worker.Value, error) { return worker.IntValue(runs.Add(1)), nil }
}

// orRandom returns a kind that answers, if only with random numbers.
func orRandom(kind worker.Kind) worker.Kind {
	if c, ok := kind.(worker.Cache); ok && c.Load == nil {
		c.Load, c.Inline = worker.RandomSource, true
		return c
	}
	return kind
}
