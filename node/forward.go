package node

import (
	"context"

	"golang.org/x/sync/semaphore"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const maxForwards = 1 << 14 // calls of others in progress on one node

// forwards bounds the calls in progress that this node makes for clients and for members
// without a way to the owner, and the bytes of their messages.
type forwards struct{ calls, bytes *semaphore.Weighted }

func newForwards() forwards {
	return forwards{semaphore.NewWeighted(maxForwards), semaphore.NewWeighted(registry.MaxMessages)}
}

// enter adds a call with a message of so many bytes, unless there are too many.
func (f forwards) enter(bytes int) error {
	if !f.calls.TryAcquire(1) {
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d calls of clients in progress", maxForwards)
	}
	if !f.bytes.TryAcquire(int64(bytes)) {
		f.calls.Release(1)
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d bytes of messages of clients in progress", int64(registry.MaxMessages))
	}
	return nil
}

func (f forwards) leave(bytes int) {
	f.bytes.Release(int64(bytes))
	f.calls.Release(1)
}

// drain waits until no call is in progress, or ctx ends. No call enters after that.
func (f forwards) drain(ctx context.Context) { _ = f.calls.Acquire(ctx, maxForwards) }

// serveForward asks the owner for a client.
func (n *Node) serveForward(c wire.Call, id worker.ID) {
	n.forward(c, func(ctx context.Context) (worker.Reply, error) {
		ctx = chain.With(worker.WithTrace(ctx, c.Request.Trace), chain.Cause{Chain: c.Request.Chain})
		if c.Request.IsCall {
			return n.router.Call(ctx, worker.Key{Kind: c.Request.Kind, ID: id}, protocol.MessageOf(&c.Request))
		}
		return n.request(ctx, c.Request.Kind, id, c.Request.Fresh)
	})
}

// serveRelay asks the place of an id, which is p, for a member that cannot reach it.
func (n *Node) serveRelay(c wire.Call, p *peers.Peer) {
	if c.Peer().Role != wire.RoleMember {
		c.Fail(wire.Errorf(wire.BadRequest, wire.NotRun, "only members ask for a relay"))
		return
	}
	n.forward(c, func(ctx context.Context) (worker.Reply, error) { return n.router.PassOn(ctx, p, c.Request) })
}

// forward answers c with what ask returns, within the bounds of n.forwards.
func (n *Node) forward(c wire.Call, ask func(context.Context) (worker.Reply, error)) {
	if err := n.forwards.enter(len(c.Request.Data)); err != nil {
		if n.closing.Load() {
			err = &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun}
		}
		c.Fail(err)
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, protocol.ClampTimeout(c.Timeout))
	c.OnCancel(cancel)
	n.wg.Go(func() {
		defer n.forwards.leave(len(c.Request.Data))
		defer cancel()
		reply, err := ask(ctx)
		n.answer(c, reply, err)
	})
}
