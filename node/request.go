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

// Request asks the worker of id, wherever in the cluster it is. Without a deadline in ctx the call has
// 5 s. It does not fail because some node died: a worker of this node answers if the owner cannot be
// reached, and Reply.Degraded says so. The error of a call that failed tells its [wire.Outcome].
func (n *Node) Request(ctx context.Context, id worker.ID) (worker.Reply, error) {
	return n.request(ctx, "", id, false)
}

// Refresh is [Node.Invalidate] at the place of the id, and Request: its value comes from a load that begins after
// Refresh is called. Those who refresh an id at the same time share that load.
func (n *Node) Refresh(ctx context.Context, id worker.ID) (worker.Reply, error) {
	return n.request(ctx, "", id, true)
}

// RequestVia is Request as seen from another node: that one finds the owner and asks it.
func (n *Node) RequestVia(ctx context.Context, via string, id worker.ID) (worker.Reply, error) {
	return n.requestVia(ctx, via, "", id)
}

func (n *Node) requestVia(ctx context.Context, via, kind string, id worker.ID) (reply worker.Reply, err error) {
	p, err := n.member(via)
	if err != nil {
		return worker.Reply{}, err
	}
	if p.Self {
		return n.request(ctx, kind, id, false)
	}
	began := n.clock.Now()
	request := protocol.NewRequest(kind, id)
	request.Route, request.Trace, request.Chain = true, worker.TraceOf(ctx), chain.Of(ctx)
	reply, err = n.ask(ctx, p, &request)
	n.noteRequest(ctx, kind, id, n.clock.Now()-began, &reply, err)
	return reply, err
}

func (n *Node) request(ctx context.Context, kind string, id worker.ID, fresh bool) (reply worker.Reply, err error) {
	err = n.requestInto(ctx, kind, id, fresh, &reply)
	return reply, err
}

// requestInto puts the answer into reply. With many calls in flight most of what one takes is to fetch its stack from memory, twice; so
// from here to the session's Call frames are small, answers are not copied from one to the next, and what is rare has functions
// of its own.
func (n *Node) requestInto(ctx context.Context, kind string, id worker.ID, fresh bool, reply *worker.Reply) (err error) {
	if n.closing.Load() {
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	p := n.members.View().Acting(id)
	if p.Self && !fresh {
		if r := n.registryOf(kind); r != nil && r.Lookup(id, r.Now(), true, reply) {
			return nil
		}
	}
	var took time.Duration
	if p.Self {
		began := n.clock.Now()
		err = n.here(ctx, kind, id, fresh, reply)
		took = n.clock.Now() - began
	} else {
		took, err = n.requestFrom(ctx, p, kind, id, fresh, reply)
	}
	n.noteRequest(ctx, kind, id, took, reply, err)
	return err
}

// requestFrom asks another node, and whom it takes to get an answer. It reports how long that took; to read the clock twice for
// each request would be a tenth of all that the caller does.
func (n *Node) requestFrom(ctx context.Context, p *peers.Peer, kind string, id worker.ID, fresh bool, reply *worker.Reply) (took time.Duration, err error) {
	var request wire.Request
	protocol.SetID(&request, kind, id)
	request.Fresh, request.Trace, request.Chain = fresh, worker.TraceOf(ctx), chain.Of(ctx)
	if err := chain.Check(request.Chain, kind, id); err != nil {
		return 0, err
	}
	s := p.Session()
	if s == nil || p.Doubtful() {
		return n.dialFor(ctx, id, p, &request, reply)
	}
	var r wire.Reply
	if err := s.Call(ctx, &request, clock.Left(ctx), &r); err != nil {
		return n.retry(ctx, id, p, &request, n.learn(p, s, &request, err), r.Took, reply)
	}
	p.RecordSuccess(kind)
	protocol.SetReply(reply, &r)
	return r.Took, nil
}

// dialFor is requestFrom for a node without a session, or one that may be stuck. To dial takes from the same 5 s.
func (n *Node) dialFor(ctx context.Context, id worker.ID, p *peers.Peer, request *wire.Request, reply *worker.Reply) (took time.Duration, err error) {
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	began := n.clock.Now()
	*reply, err = n.ask(ctx, p, request)
	took = n.clock.Now() - began
	if err != nil {
		return n.retry(ctx, id, p, request, err, took, reply)
	}
	return took, nil
}

// here asks the worker of this node.
func (n *Node) here(ctx context.Context, kind string, id worker.ID, fresh bool, reply *worker.Reply) error {
	r, e := n.workersFor(kind, false)
	if e != nil {
		return e
	}
	if err := chain.Check(chain.Of(ctx), kind, id); err != nil {
		return err
	}
	if fresh {
		r.Invalidate(id)
	}
	var err error
	*reply, err = r.Await(ctx, id, worker.Value{})
	return err
}

// ask asks one other node.
func (n *Node) ask(ctx context.Context, p *peers.Peer, request *wire.Request) (reply worker.Reply, err error) {
	s, err := n.sessionFor(ctx, p, request)
	if err != nil {
		return worker.Reply{}, err
	}
	var r wire.Reply
	if err := s.Call(ctx, request, clock.Left(ctx), &r); err != nil {
		return worker.Reply{}, n.learn(p, s, request, err)
	}
	if !ofOthers(request) {
		p.RecordSuccess(request.Kind)
	}
	protocol.SetReply(&reply, &r)
	return reply, nil
}

// ofOthers reports whether the answer to a request tells of another node than the one that is asked.
func ofOthers(request *wire.Request) bool { return request.Route || request.Relay }

// sessionFor returns the session to ask p with, unless it is stuck.
func (n *Node) sessionFor(ctx context.Context, p *peers.Peer, request *wire.Request) (*wire.Session, error) {
	if s := p.Session(); s != nil && !p.Doubtful() {
		return s, nil
	}
	if p.Stuck(request.Kind) && !n.exclusive(request) {
		p.ProbeNext(request)
		return nil, &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Node: p.Name.String(), Text: "stuck"}
	}
	s, err := n.pool.Get(ctx, p)
	if err != nil && n.members.Leaves(p, err) {
		n.members.Left(n.pool.Seated(p))
	}
	return s, err
}

// learn learns from a call that failed.
func (n *Node) learn(p *peers.Peer, s *wire.Session, request *wire.Request, err error) error {
	if ofOthers(request) {
		return err // which may be another node's, that leaves
	}
	n.pool.RecordResult(p, s, request, err)
	if errors.Is(err, wire.Leaving) {
		h := s.Peer()
		n.members.Left(wire.Member{Name: h.Name, Addr: h.Addr, Incarnation: h.Incarnation})
	}
	return err
}

// retry goes on after p has failed to answer, which took some time: it asks whom the view names now, and at the end answers itself. Without
// a deadline in ctx the call has 5 s in all. It reports how long all of it took.
func (n *Node) retry(ctx context.Context, id worker.ID, p *peers.Peer, request *wire.Request, err error, took time.Duration, reply *worker.Reply) (time.Duration, error) {
	began := n.clock.Now() - took
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, worker.DefaultTimeout-took)
		defer cancel()
	}
	err = n.tryOthers(ctx, id, p, request, err, reply)
	return n.clock.Now() - began, err
}

// tryOthers is retry with a deadline. It tries nothing once ctx has ended.
func (n *Node) tryOthers(ctx context.Context, id worker.ID, p *peers.Peer, request *wire.Request, err error, reply *worker.Reply) error {
	for try := 1; ; try++ {
		next := p
		e, again := retriable(err)
		switch {
		case !again:
			return err
		case ctx.Err() != nil:
			late := wire.Ended(ctx.Err(), e.Outcome)
			late.Text = e.Error()
			return late
		case e.Code == wire.NotOwner:
			next = n.members.Reconcile(ctx, id, p, e.Members)
		case e.Code == wire.Leaving:
			next = n.members.View().Acting(id)
		case e.Code == wire.Closed && e.Outcome == wire.NotRun && !n.closing.Load():
			// The session was idle and went as the call came. There will be another one.
		case e.Outcome == wire.NotRun || !n.exclusive(request):
			return n.aroundOrHere(ctx, id, p, request, e.Outcome, reply)
		default:
			return err
		}
		if next.Self {
			return n.here(ctx, request.Kind, id, request.Fresh, reply)
		}
		if try == maxTries {
			return n.degraded(ctx, id, request, wire.NotRun, reply)
		}
		if next == p && !clock.Sleep(ctx, time.Duration(try)*10*time.Millisecond) {
			return wire.Ended(ctx.Err(), wire.NotRun)
		}
		p = next
		if *reply, err = n.ask(ctx, p, request); err == nil {
			return nil
		}
	}
}

// aroundOrHere asks an owner that cannot be reached by way of another member, and if that fails answers
// in its place. Before is what became of the call there.
func (n *Node) aroundOrHere(ctx context.Context, id worker.ID, p *peers.Peer, request *wire.Request, before wire.Outcome, reply *worker.Reply) error {
	asked, err := n.relay(ctx, p, request, reply)
	if asked && err == nil {
		return nil
	}
	if asked && OutcomeOf(err) != worker.OutcomeNotRun {
		if n.exclusive(request) || OutcomeOf(err) == worker.OutcomeRan {
			return err
		}
		before = wire.Unknown
	}
	return n.degraded(ctx, id, request, before, reply)
}

// degraded answers in place of an owner that cannot be reached. Before is what became of the call there.
func (n *Node) degraded(ctx context.Context, id worker.ID, request *wire.Request, before wire.Outcome, reply *worker.Reply) error {
	err := error(&wire.Error{Code: wire.Closed, Outcome: wire.NotRun})
	switch {
	case ctx.Err() != nil:
		err = wire.Ended(ctx.Err(), wire.NotRun) // nobody waits for a worker in place of the owner's
	case !n.closing.Load():
		err = n.here(ctx, request.Kind, id, request.Fresh, reply)
	}
	if e, ok := errors.AsType[*wire.Error](err); ok && e.Outcome == wire.NotRun && before != wire.NotRun {
		unknown := *e
		unknown.Outcome = wire.Unknown // it may have run on the owner
		err = &unknown
	}
	reply.Degraded = err == nil
	return err
}
