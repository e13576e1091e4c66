package node

import (
	"cmp"
	"context"
	"errors"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Stop ends the worker of id on its owner, or on this node if the owner is out of reach,
// and reports whether one lived. A worker that loads first answers those who wait for it;
// later callers wait for the next load. To make every member forget a value, see
// [Node.Invalidate].
func (n *Node) Stop(ctx context.Context, id worker.ID) (stopped bool, err error) {
	return n.stop(ctx, worker.Key{ID: id})
}

func (n *Node) stop(ctx context.Context, k worker.Key) (stopped bool, err error) {
	return n.stopBy(ctx, k, n.own())
}

// stopBy is Stop as asked for by an actor.
func (n *Node) stopBy(ctx context.Context, k worker.Key, by audit.Actor) (stopped bool, err error) {
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	p := n.members.View().Acting(k.ID)
	if !p.Self {
		s, err := n.pool.Get(ctx, p)
		if err == nil {
			err = s.Do(ctx, protocol.OpStop, k, &stopped)
			if stopped {
				n.audit.Note("worker stopped", by, "kind", cmp.Or(k.Kind, worker.DefaultKind), "id", k.ID.String(), "node", p.Text)
			}
			return stopped, err
		}
		if !errors.Is(err, wire.Unreachable) {
			return false, err
		}
	}
	return n.stopHere(k, by), nil
}

// stopHere ends the worker on this node.
func (n *Node) stopHere(k worker.Key, by audit.Actor) bool {
	r := n.kinds.Of(k.Kind)
	if r == nil || !r.Stop(k.ID) {
		return false
	}
	n.audit.Note("worker stopped", by, "kind", r.Name(), "id", k.ID.String(), "node", n.name)
	return true
}
