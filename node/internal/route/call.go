package route

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/trace"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Call sends a message to the server of an id. Unlike a request it is never answered by
// another node than the one that is the place of the id: while that cannot be reached,
// Call waits for it to come back, or for the view to name a fallback. Without a deadline
// in ctx it has 5 s.
func (rt *Router) Call(ctx context.Context, k worker.Key, message worker.Value) (worker.Reply, error) {
	if rt.inner != nil {
		return rt.tracedCall(ctx, k, message)
	}
	if message.Len() > wire.MaxValue { // on this node as well as on others
		return worker.Reply{}, wire.Errorf(wire.BadRequest, wire.NotRun, "message of %d bytes, limit %d", message.Len(), wire.MaxValue)
	}
	if rt.Closing.Load() {
		return worker.Reply{}, &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	if rt.Places != nil {
		if r := rt.Kinds.Strict(k.Kind); r != nil {
			return rt.strictly(ctx, r, &want{Key: k, call: true, message: message})
		}
	}
	p := rt.Members.View().Acting(k.ID)
	reply, took, err := rt.callAt(ctx, p, k, message)
	if err != nil {
		began := rt.Clock.Now() - took
		reply, err = rt.callAgain(ctx, p, k, message, took, err)
		took = rt.Clock.Now() - began
	}
	rt.Note(ctx, k.Kind, k.ID, took, &reply, err)
	if t := rt.Taps.Of(k.Kind, k.ID); t != nil {
		t.Called(rt.Node, message, took, &reply, err)
	}
	return reply, err
}

// callAgain goes on after p has failed to answer, which took some time: it calls the member
// that acts for the id, again and again while that may help. Without a deadline in ctx the
// call has 5 s in all.
func (rt *Router) callAgain(ctx context.Context, p *peers.Peer, k worker.Key, message worker.Value, took time.Duration, err error) (reply worker.Reply, _ error) {
	ctx, cancel := clock.WithRest(ctx, took)
	defer cancel()
	backoff := clock.Backoff{First: 10 * time.Millisecond, Last: 200 * time.Millisecond}
	for again := false; err != nil; again = true {
		e, failure := protocol.Classify(err)
		if !rt.mayCallAgain(e, failure) {
			return worker.Reply{}, err
		}
		if failure == protocol.Lost && !p.Self {
			request := rt.newCall(ctx, k, message)
			if asked, failed := rt.relay(ctx, p, &request, &reply); asked && failed == nil {
				return reply, nil
			} else if asked {
				err = failed
				if e, failure = protocol.Classify(err); !rt.mayCallAgain(e, failure) {
					return worker.Reply{}, err
				}
			}
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
		reply, _, err = rt.callAt(ctx, p, k, message)
	}
	return reply, nil
}

// callAt sends a message to the server at p, and reports how long that took.
func (rt *Router) callAt(ctx context.Context, p *peers.Peer, k worker.Key, message worker.Value) (reply worker.Reply, took time.Duration, err error) {
	if !p.Self {
		began := rt.Clock.Now()
		reply, err = rt.callFrom(ctx, p, k, message)
		return reply, rt.Clock.Now() - began, err
	}
	r, e := rt.Kinds.For(k.Kind, true)
	if e != nil {
		return worker.Reply{}, 0, e
	}
	return r.Await(ctx, k.ID, message)
}

// callFrom sends a message to the server at another node.
func (rt *Router) callFrom(ctx context.Context, p *peers.Peer, k worker.Key, message worker.Value) (worker.Reply, error) {
	request := rt.newCall(ctx, k, message)
	if err := chain.Check(request.Chain, k.Kind, k.ID); err != nil {
		return worker.Reply{}, err
	}
	if s := p.Session(); s != nil && !p.Doubtful() {
		return rt.askOn(ctx, s, p, &request)
	}
	ctx, cancel := clock.WithDefault(ctx) // to dial takes from the same 5 s
	defer cancel()
	return rt.ask(ctx, p, &request)
}

func (rt *Router) newCall(ctx context.Context, k worker.Key, message worker.Value) wire.Request {
	request := protocol.NewCall(k, message)
	request.Trace, request.Chain = trace.Of(ctx), chain.Of(ctx)
	return request
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
