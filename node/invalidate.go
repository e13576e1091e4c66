package node

import (
	"context"
	"sync"

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
// the owner.

// Invalidate makes the cluster forget the value of id, and reports whether a member had
// one or was loading one. A request that begins after Invalidate has returned gets a
// value whose load began after Invalidate was called. Requests that waited before may get
// the value of the load that they waited for.
//
// Members that cannot be reached keep their values until these expire. Invalidate fails
// if the place of the id cannot be reached; call it again then. It does not reach the
// HTTP caches of clients.
func (n *Node) Invalidate(ctx context.Context, id worker.ID) (had bool, err error) {
	return n.invalidate(ctx, worker.Key{ID: id})
}

// Invalidate is [Node.Invalidate] as done by the node.
func (c *Client) Invalidate(ctx context.Context, id worker.ID) (had bool, err error) {
	return c.invalidate(ctx, worker.Key{ID: id})
}

func (c *Client) invalidate(ctx context.Context, k worker.Key) (had bool, err error) {
	err = c.reach.Do(ctx, protocol.OpInvalidate, k, &had)
	return had, err
}

func (n *Node) invalidate(ctx context.Context, k worker.Key) (had bool, err error) {
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	v := n.members.View()
	place := v.Acting(k.ID)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards had
	for i, p := range v.Peers {
		if p != place && !p.Self && v.Ring.Slot(i).Failed {
			continue
		}
		wg.Go(func() {
			here, e := n.invalidateAt(ctx, p, k, p == place)
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

// invalidateAt invalidates on one member. Members other than the place of the id have 1
// s.
func (n *Node) invalidateAt(ctx context.Context, p *peers.Peer, k worker.Key, place bool) (had bool, err error) {
	if p.Self {
		return n.invalidateHere(k)
	}
	if !place {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, connectTimeout)
		defer cancel()
	}
	s, err := n.pool.Get(ctx, p)
	if err == nil {
		err = s.Do(ctx, protocol.OpInvalidate, k, &had)
	}
	return had, err
}

func (n *Node) invalidateHere(k worker.Key) (had bool, err error) {
	if n.closing.Load() {
		return false, &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	if r := n.kinds.Of(k.Kind); r != nil && r.Serial() {
		return false, wire.Errorf(wire.BadRequest, wire.NotRun, "kind %s is serial: it has no values to invalidate; stop ends a server", r.Name())
	}
	r, e := n.kinds.For(k.Kind, false)
	if e != nil {
		return false, e
	}
	return r.Invalidate(k.ID), nil
}
