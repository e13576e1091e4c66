package route

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Call sends a message to the server of an id. Unlike a request it is never answered by
// another node than the one that is the place of the id: while that cannot be reached,
// Call waits for it to come back, or for the view to name a fallback. Without a deadline
// in ctx it has 5 s.
func (rt *Router) Call(ctx context.Context, k worker.Key, message worker.Value) (worker.Reply, error) {
	if message.Len() > wire.MaxValue { // on this node as well as on others
		return worker.Reply{}, wire.Errorf(wire.BadRequest, wire.NotRun, "message of %d bytes, limit %d", message.Len(), wire.MaxValue)
	}
	if rt.Closing.Load() {
		return worker.Reply{}, &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	began := rt.Clock.Now()
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	reply, err := rt.callActing(ctx, k, message)
	rt.Note(ctx, k.Kind, k.ID, rt.Clock.Now()-began, &reply, err)
	return reply, err
}

// callActing calls the member that acts for the id, again and again while that may help.
func (rt *Router) callActing(ctx context.Context, k worker.Key, message worker.Value) (worker.Reply, error) {
	request := protocol.NewCall(k, message)
	request.Trace, request.Chain = worker.TraceOf(ctx), chain.Of(ctx)
	if err := chain.Check(request.Chain, k.Kind, k.ID); err != nil {
		return worker.Reply{}, err
	}
	p := rt.Members.View().Acting(k.ID)
	backoff := clock.Backoff{First: 10 * time.Millisecond, Last: 200 * time.Millisecond}
	for again := false; ; again = true {
		reply, err := rt.callAt(ctx, p, &request, k, message)
		if err == nil {
			return reply, nil
		}
		e, failure := protocol.Classify(err)
		if !rt.mayCallAgain(e, failure) {
			return worker.Reply{}, err
		}
		if again && !backoff.Sleep(ctx) || ctx.Err() != nil { // the second time is at once
			if failure == protocol.Lost || failure == protocol.Apart {
				return worker.Reply{}, err // tells more than that time is up
			}
			return worker.Reply{}, wire.Ended(ctx.Err(), wire.NotRun)
		}
		if failure == protocol.Elsewhere && !p.Self {
			p = rt.Members.Reconcile(ctx, k.ID, p, e.Members)
		} else {
			p = rt.Members.View().Acting(k.ID)
		}
	}
}

// callAt sends a message to the server at p, by way of another member if p cannot be
// reached.
func (rt *Router) callAt(ctx context.Context, p *peers.Peer, request *wire.Request, k worker.Key, message worker.Value) (worker.Reply, error) {
	if !p.Self {
		reply, err := rt.ask(ctx, p, request)
		if e, failure := protocol.Classify(err); failure == protocol.Lost && rt.mayCallAgain(e, failure) {
			if asked, failed := rt.relay(ctx, p, request, &reply); asked {
				return reply, failed
			}
		}
		return reply, err
	}
	r, err := rt.Kinds.For(k.Kind, true)
	if err != nil {
		return worker.Reply{}, err
	}
	return r.Await(ctx, k.ID, message)
}

// mayCallAgain reports whether a call that failed so may succeed elsewhere, or later.
func (rt *Router) mayCallAgain(e *wire.Error, failure protocol.Failure) bool {
	if failure == protocol.Final || rt.Closing.Load() {
		return false
	}
	if e.Outcome != wire.NotRun {
		return false
	}
	// If this node is not apart, it hears soon that the other one has left.
	return failure != protocol.Apart || !rt.Members.View().Apart
}
