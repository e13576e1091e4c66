package node

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/handoff"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// The operations between nodes, and between a console and its node. Numbers are only ever appended.
const (
	opTell       wire.Op = 1  // tellMessage → tellMessage
	opConnect    wire.Op = 2  // []string → []connectionMessage
	opOwner      wire.Op = 3  // ID → string
	opMembers    wire.Op = 4  // → []Member
	opWorkers    wire.Op = 5  // → []WorkerInfo: a member's own; for a client, the whole cluster's
	opInfo       wire.Op = 6  // → NodeInfo
	opInspect    wire.Op = 7  // key → workerStatus
	opStop       wire.Op = 8  // key → bool
	opPart       wire.Op = 9  // leave the cluster, and stay up apart; answered when that is done
	opDisconnect wire.Op = 10 // string
	opNodes      wire.Op = 11 // → []NodeInfo
	opWhy        wire.Op = 12 // key → Explanation
	opPing       wire.Op = 13 // string → time.Duration
	opVia        wire.Op = 14 // viaMessage → wire.Reply
	opRetire     wire.Op = 15 // make no more calls on this session
	opHandOver   wire.Op = 16 // []handedOver
	opRoll       wire.Op = 17 // uint64: the epoch → rollMessage
	opHolds      wire.Op = 18 // key → bool
	opKinds      wire.Op = 19 // the kinds have changed: compare them again
	opView       wire.Op = 20 // → viewMessage
	opInvalidate wire.Op = 21 // key → bool: a member's own value; for a client, the whole cluster's
	opAlone      wire.Op = 22 // end that the node is apart
)

// A connectionMessage is a Connection on the wire.
type connectionMessage struct {
	Name string
	OK   bool
	Code wire.Code
	Text string
}

// A viewMessage is what a client has to know to find the place of an id as the node does.
type viewMessage struct {
	Epoch   uint64 // of the view
	Routing string
	Members []wire.Member
	Kinds   map[string]bool // whether each is exclusive
}

// A viaMessage is a request as seen from another node.
type viaMessage struct {
	Via     string
	Kind    string
	ID      worker.ID
	Timeout time.Duration
}

func wireRequest(kind string, id worker.ID) (r wire.Request) {
	setID(&r, kind, id)
	return r
}

// setID makes r, which is zero, one for the worker of id.
func setID(r *wire.Request, kind string, id worker.ID) {
	r.Kind = kind
	if n, ok := id.Int64(); ok {
		r.Num = n
	} else {
		r.Text, r.IsText = id.String(), true
	}
}

func wireCall(k worker.Key, message worker.Value) wire.Request {
	r := wireRequest(k.Kind, k.ID)
	r.IsCall, r.Data, r.IsInt, r.Type = true, message.String(), message.IsInt(), message.MediaType()
	return r
}

func messageOf(r *wire.Request) worker.Value { return worker.RawValue(r.Data, r.Type, r.IsInt) }

func idOf(r *wire.Request) (worker.ID, error) {
	if !r.IsText {
		return worker.IntID(r.Num), nil
	}
	return worker.ParseID(r.Text)
}

// setReply makes reply what crossed the wire.
func setReply(reply *worker.Reply, r *wire.Reply) {
	reply.Value, reply.Node = worker.RawValue(r.Data, r.Type, r.IsInt), r.Node
	reply.Cached, reply.Stale, reply.Degraded, reply.Via = r.Cached, r.Stale, r.Degraded, r.Via
	reply.Age, reply.TTL = r.Age, r.TTL
}

// wireReply leaves out the node that answered if it is self, as the peer knows whom it asked.
func wireReply(r worker.Reply, self string) wire.Reply {
	if r.Node == self {
		r.Node = ""
	}
	return wire.Reply{
		Data: r.Value.String(), IsInt: r.Value.IsInt(), Type: r.Value.MediaType(), Node: r.Node, Via: r.Via,
		Cached: r.Cached, Stale: r.Stale, Degraded: r.Degraded, Age: r.Age, TTL: r.TTL,
	}
}

// ServeCall answers a call of a peer. It is part of [wire.Handler].
func (n *Node) ServeCall(c wire.Call) {
	id, err := idOf(&c.Request)
	switch {
	case err != nil:
		c.Fail(wire.Errorf(wire.BadRequest, wire.NotRun, "%v", err))
		return
	case n.closing.Load():
		c.Fail(&wire.Error{Code: wire.Leaving, Outcome: wire.NotRun})
		return
	}
	v := n.members.view.Load()
	place := v.acting(id)
	if place.Self {
		r, err := n.workersFor(c.Request.Kind, c.Request.IsCall)
		if err != nil {
			c.Fail(err)
			return
		}
		if c.Request.Fresh {
			r.Invalidate(id)
		}
		var reply worker.Reply
		if r.Lookup(id, r.At(c.Came), c.Request.Route, &reply) {
			w := wireReply(reply, n.name)
			c.Reply(&w)
			return
		}
		n.serveHere(c, r, id)
		return
	}
	switch {
	case c.Request.Route:
		n.serveRouted(c, id)
	case c.Request.Relay:
		n.serveRelay(c, place)
	default:
		c.Fail(n.elsewhere(id))
	}
}

// serveHere lets the call wait for this node's worker.
func (n *Node) serveHere(c wire.Call, r *registry.Registry, id worker.ID) {
	now := r.Now()
	if err := chain.Check(c.Request.Chain, r.Name(), id); err != nil {
		c.Fail(err)
		return
	}
	if reply, err, ran := r.RunInline(id, c.Request.Trace, c.Request.Chain, now+clampTimeout(c.Timeout), now); ran {
		n.served(c, r, id, reply, err)
		return
	}
	w := &registry.Waiter{ID: id, Trace: c.Request.Trace, Chain: c.Request.Chain, Deadline: now + clampTimeout(c.Timeout)}
	if r.Serial() {
		w.Message = messageOf(&c.Request)
	}
	w.Done = func(reply worker.Reply, err error) { n.served(c, r, id, reply, err) }
	c.OnCancel(func() { r.Withdraw(w, context.Canceled) })
	r.Enqueue(w, now)
}

// served answers c with what came of it here.
func (n *Node) served(c wire.Call, r *registry.Registry, id worker.ID, reply worker.Reply, err error) {
	if c.Request.Route { // a client's, which this node makes for it
		n.noteRequest(worker.WithTrace(n.ctx, c.Request.Trace), r.Name(), id, time.Since(c.Came), &reply, err)
	}
	n.answer(c, reply, err)
}

// routed counts the calls that this node makes for clients, and the bytes of their messages.
type routed struct{ calls, bytes atomic.Int64 }

const maxRouted = 1 << 14 // calls of clients in progress on one node

// enter adds a call with a message of so many bytes, unless there are too many.
func (r *routed) enter(bytes int) error {
	calls, sum := r.calls.Add(1), r.bytes.Add(int64(bytes))
	switch {
	case calls > maxRouted:
		r.leave(bytes)
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d calls of clients in progress", maxRouted)
	case bytes > 0 && sum > registry.MaxMessages:
		r.leave(bytes)
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d bytes of messages of clients in progress", int64(registry.MaxMessages))
	}
	return nil
}

func (r *routed) leave(bytes int) {
	r.calls.Add(-1)
	r.bytes.Add(-int64(bytes))
}

// serveRouted asks the owner for a client.
func (n *Node) serveRouted(c wire.Call, id worker.ID) {
	if err := n.routed.enter(len(c.Request.Data)); err != nil {
		c.Fail(err)
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, clampTimeout(c.Timeout))
	c.OnCancel(cancel)
	n.wg.Go(func() {
		defer n.routed.leave(len(c.Request.Data))
		defer cancel()
		ctx := chain.With(worker.WithTrace(ctx, c.Request.Trace), chain.Cause{Chain: c.Request.Chain})
		var reply worker.Reply
		var err error
		if c.Request.IsCall {
			reply, err = n.call(ctx, worker.Key{Kind: c.Request.Kind, ID: id}, messageOf(&c.Request))
		} else {
			reply, err = n.request(ctx, c.Request.Kind, id, c.Request.Fresh)
		}
		n.answer(c, reply, err)
	})
}

func (n *Node) answer(c wire.Call, reply worker.Reply, err error) {
	if err != nil {
		c.Fail(err)
		return
	}
	w := wireReply(reply, n.name)
	c.Reply(&w)
}

// clampTimeout keeps what a peer says within reason.
func clampTimeout(d time.Duration) time.Duration { return max(0, min(d, time.Hour)) }

// ServeOperation answers an operation of a peer. It is part of [wire.Handler].
func (n *Node) ServeOperation(ctx context.Context, s *wire.Session, op wire.Op, args func(any) error) (any, error) {
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
	if onlyMembers(op) {
		if err := n.members.vouch(ctx, s); err != nil {
			return nil, err
		}
	}
	switch op {
	case opTell:
		if err := atMost(args, maxTold, func(t tellShape) int { return len(t.List) }); err != nil {
			return nil, err
		}
		return with(args, func(t tellMessage) (any, error) { return n.members.serveTell(s, t) })
	case opRetire:
		n.members.pool.Retired(s)
		return nil, nil
	case opHandOver:
		return nil, n.takeOver(ctx, s, args)
	case opRoll:
		return with(args, func(epoch uint64) (any, error) { return n.serveRoll(ctx, s.Peer(), epoch) })
	case opHolds:
		return with(args, func(k worker.Key) (any, error) { return n.holds(k), nil })
	case opKinds:
		n.members.pool.Each(func(ctx context.Context, p *peers.Peer, ws *wire.Session) {
			if ws == s {
				n.compareKinds(ctx, p, ws)
			}
		})
		return nil, nil
	case opPart:
		n.audit.note("removed from the cluster", actorOf(s))
		return nil, n.servePart(ctx)
	case opWorkers:
		return n.workersHere(), nil
	case opInfo:
		return n.info(), nil
	case opInspect:
		return with(args, func(k worker.Key) (any, error) { return n.inspectHere(k), nil })
	case opStop:
		return with(args, func(k worker.Key) (any, error) { return n.stopHere(k, actorOf(s)), nil })
	case opInvalidate:
		return with(args, func(k worker.Key) (any, error) { return n.invalidateHere(k) })
	}
	return nil, wire.UnknownOperation
}

// takeOver adopts answers, unless they have waited here while this node was paused: then the sender has
// given up, and may have handed them over again. The sender may know of a view that this node has yet
// to hear of, so takeOver adopts answers for any id.
func (n *Node) takeOver(ctx context.Context, s *wire.Session, args func(any) error) error {
	ctx, cancel := context.WithTimeout(ctx, registry.AnswerTimeout)
	defer cancel()
	if _, err := s.Ping(ctx); err != nil {
		return err
	}
	if err := atMost(args, handoff.MaxAnswers, func(list []registry.AnswerShape) int { return len(list) }); err != nil {
		return err
	}
	var list []registry.Answer
	err := args(&list)
	if err == nil {
		n.adopt(list)
	}
	return err
}

// serveClient does for a console what it asks, as seen from this node.
func (n *Node) serveClient(ctx context.Context, s *wire.Session, op wire.Op, args func(any) error) (any, error) {
	switch op {
	case opConnect:
		return with(args, func(names []string) (any, error) { return n.serveConnect(ctx, names) })
	case opDisconnect:
		return with(args, func(name string) (any, error) { return nil, n.disconnect(ctx, name, actorOf(s)) })
	case opAlone:
		return nil, n.goAlone(actorOf(s))
	case opOwner:
		return with(args, func(id worker.ID) (any, error) { return n.Owner(ctx, id) })
	case opMembers:
		return n.Members(ctx)
	case opNodes:
		return n.Nodes(ctx)
	case opWorkers:
		list, err := n.Workers(ctx)
		return cutWorkers(list, maxWorkers), err
	case opStop:
		return with(args, func(k worker.Key) (any, error) { return n.stopBy(ctx, k, actorOf(s)) })
	case opInvalidate:
		return with(args, func(k worker.Key) (any, error) { return n.invalidate(ctx, k) })
	case opWhy:
		return with(args, func(k worker.Key) (any, error) { return n.why(ctx, k) })
	case opPing:
		return with(args, func(name string) (any, error) { return n.Ping(ctx, name) })
	case opVia:
		return with(args, func(m viaMessage) (any, error) { return n.serveVia(ctx, m) })
	case opView:
		return n.serveView(), nil
	}
	return nil, wire.UnknownOperation
}

// with decodes the argument of an operation and serves it.
func with[T any](args func(any) error, serve func(T) (any, error)) (any, error) {
	var v T
	if err := args(&v); err != nil {
		return nil, err
	}
	return serve(v)
}

func (n *Node) serveVia(ctx context.Context, m viaMessage) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, clampTimeout(m.Timeout))
	defer cancel()
	reply, err := n.requestVia(ctx, m.Via, m.Kind, m.ID)
	if err != nil {
		return nil, err
	}
	return wireReply(reply, ""), nil
}

func (n *Node) serveView() viewMessage {
	v := n.members.view.Load()
	m := viewMessage{Epoch: v.ring.Epoch(), Routing: v.ring.Routing().String(), Kinds: map[string]bool{}}
	for i, p := range v.peers {
		w := n.members.pool.Seated(p)
		if v.ring.Slot(i).Failed {
			w.State = wire.Failed
		}
		m.Members = append(m.Members, w)
	}
	for _, r := range n.registries() {
		m.Kinds[r.Name()] = r.Exclusive()
	}
	return m
}

func (n *Node) serveConnect(ctx context.Context, names []string) (any, error) {
	if len(names) > maxConnect {
		return nil, wire.Errorf(wire.BadRequest, wire.NotRun, "%d names at once, limit %d", len(names), maxConnect)
	}
	var list []connectionMessage
	for _, c := range n.Connect(ctx, names...) {
		m := connectionMessage{Name: c.Name, OK: c.Err == nil}
		if e, ok := errors.AsType[*wire.Error](c.Err); ok {
			m.Code, m.Text = e.Code, e.Text
		} else if c.Err != nil {
			m.Code, m.Text = wire.BadRequest, c.Err.Error()
		}
		list = append(list, m)
	}
	return list, nil
}
