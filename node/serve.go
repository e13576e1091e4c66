package node

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/handoff"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/internal/strict"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A server is a node as its peers and clients know it. It is a [wire.Handler].
type server struct{ *Node }

// ServeCall answers a call of a peer.
func (n server) ServeCall(c wire.Call) {
	id, err := protocol.IDOf(&c.Request)
	switch {
	case err != nil:
		c.Fail(wire.Errorf(wire.BadRequest, wire.NotRun, "%v", err))
		return
	case n.closing.Load():
		c.Fail(&wire.Error{Code: wire.Leaving, Outcome: wire.NotRun})
		return
	}
	if n.quorum != nil && n.serveStrict(c, id) {
		return
	}
	v := n.members.View()
	place := v.Acting(id)
	if place.Self {
		r, err := n.kinds.For(c.Request.Kind, c.Request.IsCall)
		if err != nil {
			c.Fail(err)
			return
		}
		n.serveHere(c, r, id)
		return
	}
	switch {
	case c.Request.Forward:
		n.serveForward(c, id)
	case c.Request.Relay:
		n.serveRelay(c, place)
	default:
		c.Fail(n.members.View().NotOwner(id))
	}
}

// serveStrict answers a call or a request of a strict kind, and reports whether it is one.
func (n *Node) serveStrict(c wire.Call, id worker.ID) bool {
	r := n.kinds.Strict(c.Request.Kind)
	switch {
	case r == nil || c.Request.IsCall != r.Serial(): // it fails as with any other kind
		return false
	case c.Request.Forward:
		n.serveForward(c, id)
	default:
		n.serveHere(c, r, id) // which refuses it if the id is another node's
	}
	return true
}

// serveHere answers a call from the value of this node's worker, or lets it wait for that.
func (n *Node) serveHere(c wire.Call, r *registry.Registry, id worker.ID) {
	if c.Request.Fresh {
		r.Invalidate(id)
	}
	var reply worker.Reply
	if r.Lookup(id, n.clock.At(c.Came), c.Request.Forward, &reply) {
		if t := n.taps.Of(r.Name(), id); t != nil {
			t.Requested(c.Peer().Name, false, 0, &reply, nil)
		}
		w := protocol.NewReply(&reply, n.name)
		c.Reply(&w)
		return
	}
	now := r.Look()
	if err := chain.Check(c.Request.Chain, r.Name(), id); err != nil {
		c.Fail(err)
		return
	}
	var message worker.Value
	if r.Serial() {
		message = protocol.MessageOf(&c.Request)
	}
	deadline := now.Now + protocol.ClampTimeout(c.Timeout)
	if reply, err, ran := r.RunInline(id, message, c.Request.Trace, c.Request.Chain, deadline, now); ran {
		if c.Request.Forward {
			n.router.Note(worker.WithTrace(n.ctx, c.Request.Trace), r.Name(), id, time.Since(c.Came), &reply, err)
		}
		if t := n.taps.Of(r.Name(), id); t != nil {
			t.Served(r.Serial(), c.Peer().Name, c.Request.Fresh, message, time.Since(c.Came), &reply, err)
		}
		n.answer(&c.Responder, &reply, err)
		return
	}
	w := &remoteCall{node: n, registry: r, to: c.Responder, came: n.clock.At(c.Came), forward: c.Request.Forward, fresh: c.Request.Fresh}
	w.Waiter = registry.Waiter{ID: id, Message: message, Trace: c.Request.Trace, Chain: c.Request.Chain, Deadline: deadline, To: w, Async: true}
	c.OnCancel(func() { r.Withdraw(&w.Waiter, context.Canceled) })
	r.Enqueue(&w.Waiter, now.Now)
}

// A remoteCall is a call of a peer that waits for a worker of this node.
type remoteCall struct {
	registry.Waiter
	node     *Node
	registry *registry.Registry
	to       wire.Responder
	came     time.Duration // when it came, on the node's clock
	forward  bool          // it is a client's, and this node makes it
	fresh    bool
}

func (w *remoteCall) Answer(reply worker.Reply, err error) {
	t := w.node.taps.Of(w.registry.Name(), w.ID)
	if w.forward || t != nil {
		took := w.node.clock.Now() - w.came
		if w.forward {
			w.node.router.Note(worker.WithTrace(w.node.ctx, w.Trace), w.registry.Name(), w.ID, took, &reply, err)
		}
		if t != nil {
			t.Served(w.registry.Serial(), w.to.Peer().Name, w.fresh, w.Message, took, &reply, err)
		}
	}
	w.node.answer(&w.to, &reply, err)
}

// answer answers a call. The reply is not used if there is an error.
func (n *Node) answer(c *wire.Responder, reply *worker.Reply, err error) {
	if err != nil {
		c.Fail(err)
		return
	}
	w := protocol.NewReply(reply, n.name)
	c.Reply(&w)
}

// ServeOperation answers an operation of a peer.
func (n server) ServeOperation(ctx context.Context, s *wire.Session, op wire.Op, args func(any) error) (any, error) {
	switch s.Peer().Role {
	case wire.RoleMember:
		return n.serveMember(ctx, s, op, args)
	case wire.RoleClient:
		return n.serveClient(ctx, s, op, args)
	}
	return nil, wire.Errorf(wire.BadRequest, wire.NotRun, "role %d", s.Peer().Role)
}

// serveMember answers about this node; see rights.go.
func (n *Node) serveMember(ctx context.Context, s *wire.Session, op wire.Op, args func(any) error) (any, error) {
	if protocol.OnlyMembers(op) {
		if err := n.members.Vouch(ctx, s); err != nil {
			return nil, err
		}
	}
	switch op {
	case protocol.OpSync:
		if err := protocol.AtMost(args, protocol.MaxListed, protocol.SyncShape.Count); err != nil {
			return nil, err
		}
		return protocol.With(args, func(t protocol.Sync) (any, error) { return n.members.ServeSync(s, t) })
	case protocol.OpRetire:
		n.pool.Retired(s)
		return nil, nil
	case protocol.OpHandOff, protocol.OpAnswers:
		take := n.kinds.Adopt
		if n.leaving.Load() { // a node that has yet to hear of that sends them back
			take = n.handoffs.Add
		}
		return nil, handoff.Receive(ctx, s.Ping, op, args, take)
	case protocol.OpBarrier:
		return protocol.With(args, func(epoch uint64) (any, error) { return n.claims.ServeBarrier(ctx, s.Peer(), epoch) })
	case protocol.OpHolds:
		return protocol.With(args, func(k worker.Key) (any, error) { return n.claims.Holds(k), nil })
	case protocol.OpKinds:
		n.pool.Each(func(ctx context.Context, p *peers.Peer, ws *wire.Session) {
			if ws == s {
				n.compareKinds(ctx, p, ws)
			}
		})
		return nil, nil
	case protocol.OpDetach:
		n.audit.Note("removed from the cluster", audit.ActorOf(s))
		return nil, n.serveDetach(ctx)
	case protocol.OpWorkers:
		return n.kinds.Workers(protocol.MaxWorkers), nil
	case protocol.OpInfo:
		return n.info(), nil
	case protocol.OpInspect:
		return protocol.With(args, func(k worker.Key) (any, error) { return n.kinds.Inspect(k), nil })
	case protocol.OpStop:
		return protocol.With(args, func(k worker.Key) (any, error) { return n.router.StopHere(k, audit.ActorOf(s)) })
	case protocol.OpForceStop:
		return protocol.With(args, func(k worker.Key) (any, error) { return n.router.ForceStopHere(k, audit.ActorOf(s)) })
	case protocol.OpInvalidate:
		return protocol.With(args, func(k worker.Key) (any, error) { return n.router.InvalidateHere(ctx, k) })
	case protocol.OpEvents, protocol.OpTrace, protocol.OpLoads, protocol.OpFigures, protocol.OpHottest:
		return n.observer.ServeMember(s, op, args)
	}
	return strict.Serve(ctx, n.quorum, s.Peer().Name, op, args)
}

// serveClient does for a console what it asks, as seen from this node.
func (n *Node) serveClient(ctx context.Context, s *wire.Session, op wire.Op, args func(any) error) (any, error) {
	switch op {
	case protocol.OpConnect:
		return protocol.With(args, func(names []string) (any, error) { return n.serveConnect(ctx, names) })
	case protocol.OpDisconnect:
		return protocol.With(args, func(name string) (any, error) { return nil, n.disconnect(ctx, name, audit.ActorOf(s)) })
	case protocol.OpAlone:
		return nil, n.goAlone(audit.ActorOf(s))
	case protocol.OpOwner:
		return protocol.With(args, func(id worker.ID) (any, error) { return n.Owner(ctx, id) })
	case protocol.OpMembers:
		return n.Members(ctx)
	case protocol.OpNodes:
		return n.Nodes(ctx)
	case protocol.OpWorkers:
		list, err := n.Workers(ctx)
		return protocol.CutWorkers(list, protocol.MaxWorkers), err
	case protocol.OpStop:
		return protocol.With(args, func(k worker.Key) (any, error) { return n.router.Stop(ctx, k, audit.ActorOf(s)) })
	case protocol.OpForceStop:
		return protocol.With(args, func(k worker.Key) (any, error) { return n.router.ForceStop(ctx, k, audit.ActorOf(s)) })
	case protocol.OpInvalidate:
		return protocol.With(args, func(k worker.Key) (any, error) { return n.invalidate(ctx, k) })
	case protocol.OpWhy:
		return protocol.With(args, func(k worker.Key) (any, error) { return n.why(ctx, k) })
	case protocol.OpPing:
		return protocol.With(args, func(name string) (any, error) { return n.Ping(ctx, name) })
	case protocol.OpVia:
		return protocol.With(args, func(m protocol.Via) (any, error) { return n.serveVia(ctx, m) })
	case protocol.OpView:
		return n.router.View(), nil
	case protocol.OpEvents, protocol.OpTrace, protocol.OpLoads, protocol.OpFigures, protocol.OpHottest:
		return n.observer.ServeClient(ctx, s, op, args)
	}
	return strict.ServeClient(ctx, n.quorum, n.audit, s, op, args)
}

func (n *Node) serveVia(ctx context.Context, m protocol.Via) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, protocol.ClampTimeout(m.Timeout))
	defer cancel()
	reply, err := n.requestVia(ctx, m.Via, m.Kind, m.ID)
	if err != nil {
		return nil, err
	}
	return protocol.NewReply(&reply, ""), nil
}

func (n *Node) serveConnect(ctx context.Context, names []string) (any, error) {
	if len(names) > protocol.MaxConnect {
		return nil, wire.Errorf(wire.BadRequest, wire.NotRun, "%d names at once, limit %d", len(names), protocol.MaxConnect)
	}
	var list []protocol.Connection
	for _, c := range n.Connect(ctx, names...) {
		list = append(list, protocol.NewConnection(c.Name, c.Err))
	}
	return list, nil
}
