package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/distproc/distproc/wire"
)

// The operations between nodes, and between a console and its node. Numbers are only ever appended.
const (
	opTell    wire.Op = 1 // members tell []wire.Member
	opConnect wire.Op = 2 // []string → []connectionMessage
	opOwner   wire.Op = 3 // string → string
	opMembers wire.Op = 4 // → []Member
	opWorkers wire.Op = 5 // bool (of the whole cluster) → []workerMessage
)

// A connectionMessage is a Connection on the wire.
type connectionMessage struct {
	Name string
	OK   bool
	Code wire.Code
	Text string
}

// A workerMessage is a WorkerInfo on the wire.
type workerMessage struct {
	ID       string
	Node     string
	Age, TTL time.Duration
	Hits     uint64
	Queue    int
}

func wireRequest(id ID) wire.Request {
	if id.class == classInt {
		return wire.Request{Num: id.num}
	}
	return wire.Request{Text: id.text, IsText: true}
}

func idOf(r *wire.Request) (ID, error) {
	if !r.IsText {
		return IntID(r.Num), nil
	}
	return ParseID(r.Text)
}

func replyOf(r wire.Reply) Reply {
	return Reply{
		Value: Value{data: r.Data, isInt: r.IsInt}, Node: r.Node,
		Cached: r.Cached, Degraded: r.Degraded, Age: r.Age, TTL: r.TTL,
	}
}

// wireReply leaves out the node that answered if it is self, as the peer knows whom it asked.
func wireReply(r Reply, self string) wire.Reply {
	if r.Node == self {
		r.Node = ""
	}
	return wire.Reply{
		Data: r.Value.data, IsInt: r.Value.isInt, Node: r.Node,
		Cached: r.Cached, Degraded: r.Degraded, Age: r.Age, TTL: r.TTL,
	}
}

// ServeCall answers a call of a peer. It is part of [wire.Handler].
func (n *Node) ServeCall(c wire.Call) {
	id, err := idOf(&c.Request)
	switch {
	case err != nil:
		c.Fail(wire.Errorf(wire.BadRequest, NotRun, "%v", err))
		return
	case c.Request.Kind != "":
		c.Fail(wire.Errorf(wire.UnknownKind, NotRun, "%q", c.Request.Kind))
		return
	case n.closing.Load():
		c.Fail(&wire.Error{Code: wire.Leaving, Outcome: NotRun})
		return
	}
	owner := n.members.view.Load().owner(id)
	if owner.self {
		if reply, ok := n.registry.lookup(id); ok {
			w := wireReply(reply, n.name)
			c.Reply(&w)
			return
		}
		n.serveHere(c, id)
		return
	}
	if c.Request.Route {
		n.serveRouted(c, id)
		return
	}
	c.Fail(&wire.Error{Code: wire.NotOwner, Outcome: NotRun, Text: owner.name.String() + " is", Members: n.members.snapshot()})
}

// serveHere lets the call wait for this node's worker.
func (n *Node) serveHere(c wire.Call, id ID) {
	r := n.registry
	w := &waiter{id: id, deadline: r.now() + clampTimeout(c.Timeout)}
	w.done = func(reply Reply, err error) { n.answer(c, reply, err) }
	c.OnCancel(func() { r.withdraw(w, context.Canceled) })
	r.enqueue(w)
}

// serveRouted asks the owner for a client.
func (n *Node) serveRouted(c wire.Call, id ID) {
	if n.routed.Add(1) > maxRouted {
		n.routed.Add(-1)
		c.Fail(wire.Errorf(wire.Overloaded, NotRun, "%d calls of clients in progress", maxRouted))
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, clampTimeout(c.Timeout))
	c.OnCancel(cancel)
	n.wg.Go(func() {
		defer n.routed.Add(-1)
		defer cancel()
		reply, err := n.Request(ctx, id)
		n.answer(c, reply, err)
	})
}

func (n *Node) answer(c wire.Call, reply Reply, err error) {
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
func (n *Node) ServeOperation(s *wire.Session, op wire.Op, args func(any) error) (any, error) {
	switch op {
	case opTell:
		var list []wire.Member
		if err := args(&list); err != nil {
			return nil, err
		}
		if s.Peer().Role == wire.RoleMember {
			n.members.learn(list)
		}
		return nil, nil
	case opConnect:
		var names []string
		if err := args(&names); err != nil {
			return nil, err
		}
		return n.serveConnect(names)
	case opOwner:
		var text string
		if err := args(&text); err != nil {
			return nil, err
		}
		id, err := ParseID(text)
		if err != nil {
			return nil, wire.Errorf(wire.BadRequest, NotRun, "%v", err)
		}
		return n.Owner(n.ctx, id)
	case opMembers:
		return n.Members(n.ctx)
	case opWorkers:
		var all bool
		if err := args(&all); err != nil {
			return nil, err
		}
		return n.serveWorkers(all)
	}
	return nil, wire.UnknownOperation
}

func (n *Node) serveConnect(names []string) (any, error) {
	if len(names) > maxConnect {
		return nil, wire.Errorf(wire.BadRequest, NotRun, "%d names at once, limit %d", len(names), maxConnect)
	}
	var list []connectionMessage
	for _, c := range n.Connect(n.ctx, names...) {
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

func (n *Node) serveWorkers(all bool) (any, error) {
	infos := n.registry.workers(maxWorkers)
	if all {
		var err error
		if infos, err = n.Workers(n.ctx); err != nil {
			return nil, err
		}
	}
	list := make([]workerMessage, 0, len(infos))
	for _, w := range infos {
		list = append(list, workerMessage{w.ID.String(), w.Node, w.Age, w.TTL, w.Hits, w.Queue})
	}
	return list, nil
}

// remoteWorkers lists the workers of a peer, or of the whole cluster as seen from it.
func remoteWorkers(ctx context.Context, s *wire.Session, all bool) ([]WorkerInfo, error) {
	var list []workerMessage
	if err := s.Do(ctx, opWorkers, all, &list); err != nil {
		return nil, err
	}
	infos := make([]WorkerInfo, 0, len(list))
	for _, w := range list {
		id, err := ParseID(w.ID)
		if err != nil {
			return nil, err
		}
		infos = append(infos, WorkerInfo{ID: id, Node: w.Node, Age: w.Age, TTL: w.TTL, Hits: w.Hits, Queue: w.Queue})
	}
	return infos, nil
}

// refusals logs connections that are turned away, once a minute for each host and reason: a peer
// with a wrong cookie tries again and again, and so does whoever scans the port.
type refusals struct {
	log  *slog.Logger
	mu   sync.Mutex
	last map[string]time.Time // guarded by mu
}

func (r *refusals) note(from net.Addr, why error) {
	if errors.Is(why, io.EOF) {
		return // it said nothing: somebody checks whether the port is open
	}
	text := why.Error()
	if _, ok := errors.AsType[*wire.Error](why); !ok {
		text = "handshake failed: " + text
	}
	host, _, _ := net.SplitHostPort(from.String())
	key := host + " " + text
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.last[key]) < time.Minute {
		return
	}
	if r.last == nil || len(r.last) > 1000 {
		r.last = map[string]time.Time{}
	}
	r.last[key] = now
	r.log.Warn("connection refused", "from", from.String(), "why", text)
}
