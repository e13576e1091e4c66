package route

import (
	"context"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Invalidation makes a value unusable everywhere. The owner of the id drops what it has.
// If a run of the source has begun before, its value goes only to the callers that were
// waiting by then: later callers wait for the next run. Every other member is told, too,
// because it may have answered in place of the owner, or may have an answer on its way to
// the owner. Only the owner has a value of a strict kind.

// otherTime is how long members other than the place of an id may take.
const otherTime = time.Second

// Invalidate makes the cluster forget the value of an id, and reports whether a member had
// one or was loading one. It fails if the place of the id cannot be reached. Without a
// deadline in ctx it has 5 s.
func (rt *Router) Invalidate(ctx context.Context, k worker.Key) (had bool, err error) {
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	if rt.Places != nil && rt.Kinds.Strict(k.Kind) != nil {
		try := func(p *peers.Peer) (err error) {
			had, err = rt.invalidateAt(ctx, p, k)
			return err
		}
		return had, rt.strictlyAgain(ctx, k.ID, try(rt.strictPlace(k.ID)), false, try)
	}
	v := rt.Members.View()
	place := v.Acting(k.ID)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards had
	for i, p := range v.Peers {
		if p != place && !p.Self && v.Ring.Slot(i).Failed {
			continue
		}
		wg.Go(func() {
			ctx := ctx
			if p != place {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, otherTime)
				defer cancel()
			}
			here, e := rt.invalidateAt(ctx, p, k)
			if p == place && e != nil {
				err = e // other members may be of an older version, and not know the kind
			}
			mu.Lock()
			defer mu.Unlock()
			had = had || here
		})
	}
	wg.Wait()
	return had, err
}

func (rt *Router) invalidateAt(ctx context.Context, p *peers.Peer, k worker.Key) (had bool, err error) {
	if p.Self {
		return rt.InvalidateHere(ctx, k)
	}
	s, err := rt.pool.Get(ctx, p)
	if err == nil {
		err = s.Do(ctx, protocol.OpInvalidate, k, &had)
	}
	return had, err
}

// InvalidateHere drops the value that this node has of an id, and reports whether it had one
// or was loading one. It is for the place of the id to say that of a strict kind.
func (rt *Router) InvalidateHere(ctx context.Context, k worker.Key) (had bool, err error) {
	if rt.Closing.Load() {
		return false, &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	if r := rt.Kinds.Of(k.Kind); r != nil && r.Serial() {
		return false, wire.Errorf(wire.BadRequest, wire.NotRun, "kind %s is serial: it has no values to invalidate; stop ends a server", r.Name())
	}
	r, e := rt.Kinds.For(k.Kind, false)
	if e != nil {
		return false, e
	}
	if !r.Strict() {
		return r.Invalidate(k.ID), nil
	}
	if had, e = r.InvalidateStrictly(ctx, k.ID); e != nil {
		return false, e
	}
	return had, nil
}
