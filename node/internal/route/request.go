package route

import (
	"context"
	"errors"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/trace"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const maxTries = 3 // members that one request asks before this node answers itself

// Request asks the worker of an id, and puts the answer into reply. Fresh has the answer
// come from a load that begins now. Without a deadline in ctx the request has 5 s.
//
// With many requests in flight most of what one takes is to fetch its stack from memory,
// twice. So from here to the session's Call frames are small, answers are not copied from
// one to the next, and what is rare has functions of its own.
func (rt *Router) Request(ctx context.Context, kind string, id worker.ID, fresh bool, reply *worker.Reply) (err error) {
	if rt.inner != nil {
		return rt.tracedRequest(ctx, kind, id, fresh, reply)
	}
	if rt.Closing.Load() {
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	if rt.Places != nil {
		if r := rt.Kinds.Strict(kind); r != nil {
			*reply, err = rt.strictly(ctx, r, &want{Key: worker.Key{Kind: kind, ID: id}, fresh: fresh})
			return err
		}
	}
	p := rt.Members.View().Acting(id)
	if p.Self && !fresh {
		if r := rt.Kinds.Of(kind); r != nil && r.Lookup(id, r.Now(), true, reply) {
			if t := rt.Taps.Of(kind, id); t != nil {
				t.Requested(rt.Node, fresh, 0, reply, nil)
			}
			return nil
		}
	}
	var took time.Duration
	if p.Self {
		took, err = rt.here(ctx, kind, id, fresh, reply)
	} else {
		took, err = rt.requestFrom(ctx, p, kind, id, fresh, reply)
	}
	rt.Note(ctx, kind, id, took, reply, err)
	if t := rt.Taps.Of(kind, id); t != nil {
		t.Requested(rt.Node, fresh, took, reply, err)
	}
	return err
}

// requestFrom asks another node, and whichever it takes to get an answer. It reports how
// long that took; to read the clock twice for each request would be a tenth of all that
// the caller does.
func (rt *Router) requestFrom(ctx context.Context, p *peers.Peer, kind string, id worker.ID, fresh bool, reply *worker.Reply) (took time.Duration, err error) {
	var request wire.Request
	protocol.SetID(&request, kind, id)
	request.Fresh, request.Trace, request.Chain = fresh, trace.Of(ctx), chain.Of(ctx)
	if err := chain.Check(request.Chain, kind, id); err != nil {
		return 0, err
	}
	s := p.Session()
	if s == nil || p.Doubtful() || rt.Tracer != nil {
		return rt.dialFor(ctx, id, p, &request, reply)
	}
	var r wire.Reply
	if err := s.Call(ctx, &request, clock.Left(ctx), &r); err != nil {
		return rt.retry(ctx, id, p, &request, rt.recordFailure(p, s, &request, err), r.Took, reply)
	}
	p.RecordSuccess(kind)
	protocol.SetReply(reply, &r)
	return r.Took, nil
}

// dialFor is requestFrom for a node without a session, or one that may be stuck, and for
// traces. To dial takes from the same 5 s.
func (rt *Router) dialFor(ctx context.Context, id worker.ID, p *peers.Peer, request *wire.Request, reply *worker.Reply) (took time.Duration, err error) {
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	began := rt.Clock.Now()
	*reply, err = rt.ask(ctx, p, request)
	took = rt.Clock.Now() - began
	if err != nil {
		return rt.retry(ctx, id, p, request, err, took, reply)
	}
	return took, nil
}

// here asks the worker of this node, and reports how long that took.
func (rt *Router) here(ctx context.Context, kind string, id worker.ID, fresh bool, reply *worker.Reply) (took time.Duration, err error) {
	r, e := rt.Kinds.For(kind, false)
	if e != nil {
		return 0, e
	}
	if fresh {
		if err := chain.Check(chain.Of(ctx), kind, id); err != nil { // before anything changes
			return 0, err
		}
		r.Invalidate(id)
	}
	*reply, took, err = r.Await(ctx, id, worker.Value{})
	return took, err
}

// Via makes a request at another member, which finds the place of the id.
func (rt *Router) Via(ctx context.Context, p *peers.Peer, kind string, id worker.ID) (worker.Reply, error) {
	began := rt.Clock.Now()
	request := protocol.NewRequest(kind, id)
	request.Forward, request.Trace, request.Chain = true, trace.Of(ctx), chain.Of(ctx)
	reply, err := rt.ask(ctx, p, &request)
	rt.Note(ctx, kind, id, rt.Clock.Now()-began, &reply, err)
	return reply, err
}

// retry goes on after p has failed to answer, which took some time: it asks the member
// that the view names now, and at the end has this node answer. Without a deadline in ctx
// the request has 5 s in all. It reports how long all of it took.
func (rt *Router) retry(ctx context.Context, id worker.ID, p *peers.Peer, request *wire.Request, err error, took time.Duration, reply *worker.Reply) (time.Duration, error) {
	began := rt.Clock.Now() - took
	ctx, cancel := clock.WithRest(ctx, took)
	defer cancel()
	err = rt.tryOthers(ctx, id, p, request, err, reply)
	return rt.Clock.Now() - began, err
}

// tryOthers is retry with a deadline. It tries nothing once ctx has ended.
func (rt *Router) tryOthers(ctx context.Context, id worker.ID, p *peers.Peer, request *wire.Request, err error, reply *worker.Reply) error {
	for try := 1; ; try++ {
		next := p
		e, failure := protocol.Classify(err)
		switch {
		case failure == protocol.Final:
			return err
		case ctx.Err() != nil:
			return protocol.Late(ctx.Err(), e)
		case failure == protocol.Elsewhere:
			next = rt.Members.Reconcile(ctx, id, p, e.Members)
		case failure == protocol.Gone:
			next = rt.Members.View().Acting(id)
		case e.Code == wire.Closed && e.Outcome == wire.NotRun && !rt.Closing.Load():
			// The session was idle and went as the call came. There will be another one.
		case e.Outcome == wire.NotRun || !rt.Kinds.Exclusive(request):
			return rt.relayOrHere(ctx, id, p, request, e.Outcome, reply)
		default:
			return err
		}
		if next.Self {
			_, err := rt.here(ctx, request.Kind, id, request.Fresh, reply)
			return err
		}
		if try == maxTries {
			return rt.degraded(ctx, id, request, wire.NotRun, reply)
		}
		if next == p && !clock.Sleep(ctx, time.Duration(try)*10*time.Millisecond) {
			return wire.Ended(ctx.Err(), wire.NotRun)
		}
		p = next
		if *reply, err = rt.ask(ctx, p, request); err == nil {
			return nil
		}
	}
}

// relayOrHere asks an owner that cannot be reached by way of another member, and if that
// fails answers in its place. Before is what became of the call there.
func (rt *Router) relayOrHere(ctx context.Context, id worker.ID, p *peers.Peer, request *wire.Request, before wire.Outcome, reply *worker.Reply) error {
	asked, err := rt.relay(ctx, p, request, reply)
	if asked && err == nil {
		return nil
	}
	if outcome := protocol.OutcomeOf(err); asked && outcome != worker.OutcomeNotRun {
		if rt.Kinds.Exclusive(request) || outcome == worker.OutcomeRan {
			return err
		}
		before = wire.Unknown
	}
	return rt.degraded(ctx, id, request, before, reply)
}

// degraded answers in place of an owner that cannot be reached. Before is what became of
// the call there.
func (rt *Router) degraded(ctx context.Context, id worker.ID, request *wire.Request, before wire.Outcome, reply *worker.Reply) error {
	err := error(&wire.Error{Code: wire.Closed, Outcome: wire.NotRun})
	switch {
	case ctx.Err() != nil:
		err = wire.Ended(ctx.Err(), wire.NotRun) // nobody waits for a worker in place of the owner's
	case !rt.Closing.Load():
		_, err = rt.here(ctx, request.Kind, id, request.Fresh, reply)
	}
	if e, ok := errors.AsType[*wire.Error](err); ok && before != wire.NotRun {
		err = protocol.WithOutcome(e, wire.Unknown) // it may have run on the owner
	}
	reply.Degraded = err == nil
	return err
}
