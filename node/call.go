package node

import (
	"context"
	"errors"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// call sends a message to the server of an id. Unlike a request it is never answered by another node than the one that is the
// place of the id: while that cannot be reached, call waits for it to come back, or for the view to name a stand-in.
func (n *Node) call(ctx context.Context, k worker.Key, message worker.Value) (worker.Reply, error) {
	if message.Len() > wire.MaxValue { // on this node as well as on others
		return worker.Reply{}, wire.Errorf(wire.BadRequest, wire.NotRun, "message of %d bytes, limit %d", message.Len(), wire.MaxValue)
	}
	if n.closing.Load() {
		return worker.Reply{}, &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	began := n.clock.Now()
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	reply, err := n.callPlace(ctx, k, message)
	n.noteRequest(ctx, k.Kind, k.ID, n.clock.Now()-began, &reply, err)
	return reply, err
}

func (n *Node) callPlace(ctx context.Context, k worker.Key, message worker.Value) (worker.Reply, error) {
	request := protocol.NewCall(k, message)
	request.Trace, request.Chain = worker.TraceOf(ctx), chain.Of(ctx)
	if err := chain.Check(request.Chain, k.Kind, k.ID); err != nil {
		return worker.Reply{}, err
	}
	p := n.members.View().Acting(k.ID)
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		reply, err := n.callAt(ctx, p, &request, k, message)
		if err == nil {
			return reply, nil
		}
		e, ok := errors.AsType[*wire.Error](err)
		if !ok || !n.again(e) {
			return worker.Reply{}, err
		}
		if wait > firstWait && !clock.Sleep(ctx, wait) || ctx.Err() != nil {
			if e.Lost() || e.Code == wire.Apart {
				return worker.Reply{}, err // tells more than that time is up
			}
			return worker.Reply{}, wire.Ended(ctx.Err(), wire.NotRun)
		}
		if e.Code == wire.NotOwner && !p.Self {
			p = n.members.Reconcile(ctx, k.ID, p, e.Members)
		} else {
			p = n.members.View().Acting(k.ID)
		}
	}
}

const (
	firstWait = 5 * time.Millisecond // before a call that did not run is made again, but for the first time
	lastWait  = 200 * time.Millisecond
)

// callAt sends a message to the server at p, by way of another member if p cannot be reached.
func (n *Node) callAt(ctx context.Context, p *peers.Peer, request *wire.Request, k worker.Key, message worker.Value) (worker.Reply, error) {
	if !p.Self {
		reply, err := n.ask(ctx, p, request)
		if e, ok := errors.AsType[*wire.Error](err); ok && e.Lost() && n.again(e) {
			if asked, failed := n.relay(ctx, p, request, &reply); asked {
				return reply, failed
			}
		}
		return reply, err
	}
	r, err := n.workersFor(k.Kind, true)
	if err != nil {
		return worker.Reply{}, err
	}
	return r.Await(ctx, k.ID, message)
}

// again reports whether a call that failed so may succeed elsewhere, or later.
func (n *Node) again(e *wire.Error) bool {
	if e.Outcome != wire.NotRun || n.closing.Load() {
		return false
	}
	if e.Code == wire.Apart { // if this node is not, it hears soon that the other one has left
		return !n.members.View().Apart
	}
	return e.Code == wire.NotOwner || e.Code == wire.Leaving || e.Lost()
}
