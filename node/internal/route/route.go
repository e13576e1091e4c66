// Package route brings a request or a call to the node that is the place of its id, and
// its answer back.
//
// The path of a request (request.go): the view names the member that acts for the id. If
// that is this node, its registry answers; otherwise the request crosses in a batch of
// the session to it. That node never forwards: it answers NotOwner with its members if it
// sees the cluster differently, and the two reconcile. If it cannot be reached, another
// member may pass the request on, once (relay.go); else a worker of this node answers
// instead, and the reply says that it is degraded. A call of a serial kind takes the same
// path, but only the acting member answers it (call.go): the call waits for that one, or
// for the view to name another.
//
// Invariants, with their tests in package node:
//
//   - A request does not fail because a node died: TestCrashAndRestart, TestLeave,
//     TestRollingRestart.
//   - A node answers for an id of another one only if that cannot be reached: TestNotOwner,
//     TestSettle, TestManySettle.
//   - Only what did not run is made again, unless it may run twice: TestExclusive,
//     TestOutcomeWhenTheCallerCloses.
//   - A request is relayed once, so there are no loops: TestRelayOnce, TestRelayNext.
//   - What a call waited for in vain has not run: TestWaited, TestNotRunDidNotBegin,
//     TestLateIsNotDegraded.
package route

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/kinds"
	"github.com/distproc/distproc/node/internal/members"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/tap"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Router makes the requests and calls of a node. All methods may be called from any
// number of goroutines.
type Router struct {
	Config
	pool  *peers.Pool
	self  *peers.Peer
	inner *Router // see tracedRequest; nil without a Tracer
}

// Config says whose router it is. No field but Places and Tracer may be left out.
type Config struct {
	Node    string // NAME@HOST
	Members *members.Members
	Kinds   *kinds.Set
	Places  Places // of ids of strict kinds; nil if the node has no voters
	Clock   *clock.Process
	Closing *atomic.Bool // the node takes no more calls
	Audit   *audit.Log
	Taps    *tap.Board
	Tracer  observe.Tracer // nil if nothing is traced
	Logger  *slog.Logger
}

// New returns a router.
func New(c Config) *Router {
	rt := &Router{Config: c, pool: c.Members.Pool(), self: c.Members.View().Self()}
	if c.Tracer != nil {
		inner := *rt
		rt.inner = &inner
	}
	return rt
}

// ask asks one other node.
func (rt *Router) ask(ctx context.Context, p *peers.Peer, request *wire.Request) (reply worker.Reply, err error) {
	s, err := rt.sessionFor(ctx, p, request)
	if err != nil {
		return worker.Reply{}, err
	}
	return rt.askOn(ctx, s, p, request)
}

// askOn is ask on a session to p.
func (rt *Router) askOn(ctx context.Context, s *wire.Session, p *peers.Peer, request *wire.Request) (worker.Reply, error) {
	if rt.Tracer != nil {
		return rt.tracedAsk(ctx, p.Text, request, func() (worker.Reply, error) { return rt.askPlainly(ctx, s, p, request) })
	}
	return rt.askPlainly(ctx, s, p, request)
}

func (rt *Router) askPlainly(ctx context.Context, s *wire.Session, p *peers.Peer, request *wire.Request) (reply worker.Reply, err error) {
	var r wire.Reply
	if err := s.Call(ctx, request, clock.Left(ctx), &r); err != nil {
		return worker.Reply{}, rt.recordFailure(p, s, request, err)
	}
	if !forOthers(request) {
		p.RecordSuccess(request.Kind)
	}
	protocol.SetReply(&reply, &r)
	return reply, nil
}

// forOthers reports whether the answer to a request tells of another node than the one
// that is asked.
func forOthers(request *wire.Request) bool { return request.Forward || request.Relay }

// sessionFor returns the session to ask p with, unless it is stuck.
func (rt *Router) sessionFor(ctx context.Context, p *peers.Peer, request *wire.Request) (*wire.Session, error) {
	if s := p.Session(); s != nil && !p.Doubtful() {
		return s, nil
	}
	if p.Stuck(request.Kind) && !rt.Kinds.Exclusive(request) {
		p.ProbeNext(request)
		return nil, &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Node: p.Text, Text: "stuck"}
	}
	s, err := rt.pool.Get(ctx, p)
	if err != nil && rt.Members.Leaves(p, err) {
		rt.Members.Left(rt.pool.Slot(p))
	}
	return s, err
}

// recordFailure notes what a failed call tells of p, and returns its error.
func (rt *Router) recordFailure(p *peers.Peer, s *wire.Session, request *wire.Request, err error) error {
	if forOthers(request) {
		return err // which may be that of another node that leaves
	}
	rt.pool.RecordResult(p, s, request, err)
	if _, failure := protocol.Classify(err); failure == protocol.Gone {
		h := s.Peer()
		rt.Members.Left(wire.Member{Name: h.Name, Addr: h.Addr, Incarnation: h.Incarnation})
	}
	return err
}

// Note counts and logs a request or a call that was made at this node.
func (rt *Router) Note(ctx context.Context, kind string, id worker.ID, took time.Duration, reply *worker.Reply, err error) {
	if r := rt.Kinds.Of(kind); r != nil {
		r.NoteRequest(id, took, reply, err)
	}
	if rt.Logger.Enabled(ctx, slog.LevelDebug) {
		rt.log(ctx, kind, id, took, reply, err)
	}
}

func (rt *Router) log(ctx context.Context, kind string, id worker.ID, took time.Duration, reply *worker.Reply, err error) {
	fields := []any{"kind", cmp.Or(kind, worker.DefaultKind), "id", id.String(), "took", took}
	if err != nil {
		fields = append(fields, "err", err.Error(), "outcome", protocol.OutcomeOf(err).String())
	} else {
		fields = append(fields, "by", reply.Node, "cached", reply.Cached, "degraded", reply.Degraded)
	}
	if trace := worker.TraceOf(ctx); trace != "" {
		fields = append(fields, "trace", trace)
	}
	rt.Logger.DebugContext(ctx, "request", fields...)
}

// View returns what a client has to know to find the place of an id as this node does.
func (rt *Router) View() protocol.View {
	v := rt.Members.View()
	m := protocol.View{Epoch: v.Ring.Epoch(), Routing: v.Ring.Routing().String(), Kinds: map[string]bool{}}
	for i, p := range v.Peers {
		w := rt.pool.Slot(p)
		if v.Ring.Slot(i).Failed {
			w.State = wire.Failed
		}
		m.Members = append(m.Members, w)
	}
	for _, r := range rt.Kinds.All() {
		m.Kinds[r.Name()] = r.Exclusive()
	}
	return m
}
