package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Two nodes that cannot talk to each other may both be members, as a third one reaches both. Then that
// one passes requests on, once: it asks the owner over its own session, and nobody else, so there are
// no loops. It first makes sure that the owner answers, so that a request for an owner that is dead or
// paused fails as not run.

const (
	relayPing = 500 * time.Millisecond // for the owner's sign of life to the relay
	relayTime = time.Second            // for relays to answer a request that this node can answer itself
	relayRest = time.Second            // after relays have failed, before others are tried
	maxRelays = 3                      // that are asked one after the other
)

// relays is what a node knows of the ways to a peer that it cannot reach itself. Times are in Unix
// nanoseconds, or 0.
type relays struct {
	failed   atomic.Int64           // time of the last failure of all that were asked
	answered atomic.Int64           // time of the last answer
	silent   atomic.Int64           // start of the first request since then that timed out
	by       atomic.Pointer[string] // the relay that answered last; nil after a failure
}

// answer notes that the peer has answered by way of a member.
func (r *relays) answer(by *string) {
	r.answered.Store(time.Now().UnixNano())
	r.silent.Store(0)
	r.by.Store(by)
}

// missed learns from a request that went out at began and failed with err. The relays have failed if
// none of them reaches the peer, or none has answered for relayTime. A single timeout shows little: the
// caller may be in a hurry, or the worker slow. An answer to another request since began shows that the
// relays are well. A relay that is lost during the request is not asked again; the others may be well.
func (r *relays) missed(began time.Time, err error) {
	if r.answered.Load() >= began.UnixNano() {
		return
	}
	now := time.Now()
	e, ok := errors.AsType[*wire.Error](err)
	switch {
	case ok && lostOnTheWay(e) && e.Outcome == wire.NotRun:
	case errors.Is(err, wire.DeadlineExceeded):
		r.silent.CompareAndSwap(0, began.UnixNano())
		if since := r.silent.Load(); since == 0 || now.UnixNano()-since < int64(relayTime) {
			return
		}
	default:
		return
	}
	r.failed.Store(now.UnixNano())
	r.by.Store(nil)
}

// reset forgets all: the peer is reached again.
func (r *relays) reset() {
	r.failed.Store(0)
	r.answered.Store(0)
	r.silent.Store(0)
	r.by.Store(nil)
}

// relay asks p by way of other members, the next one if the last one certainly did not reach p. It
// reports whether there was one to ask; its error is a session's.
func (n *Node) relay(ctx context.Context, p *peer, request *wire.Request, reply *worker.Reply) (asked bool, err error) {
	began := time.Now()
	if began.UnixNano()-p.relays.failed.Load() < int64(relayRest) {
		return false, nil
	}
	others := n.relaysTo(p)
	if len(others) == 0 {
		return false, nil
	}
	if !n.exclusive(request) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, relayTime)
		defer cancel()
	}
	r := *request
	r.Relay, r.Route = true, false
	for _, by := range others {
		*reply, err = n.ask(ctx, by, &r)
		if err == nil {
			reply.Via = by.text
		}
		if err == nil || OutcomeOf(err) == worker.OutcomeRan {
			p.relays.answer(&by.text)
			return true, err
		}
		if OutcomeOf(err) != worker.OutcomeNotRun {
			break
		}
	}
	p.relays.missed(began, err)
	return true, err
}

// relaysTo returns members that may reach p, which this node does not. The relay that answered last
// comes first, and members with unanswered calls come last. The cluster must take p for alive.
func (n *Node) relaysTo(p *peer) []*peer {
	v := n.members.view.Load()
	if v.peer(p.name) != p || v.failed(p) || !p.lost.Load() {
		return nil
	}
	var others []*peer
	for i, other := range v.peers {
		if other != p && !other.self && !v.ring.Slot(i).Failed && !other.lost.Load() && !other.health.anyStuck() {
			others = append(others, other)
		}
	}
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	if by := p.relays.by.Load(); by != nil {
		if i := slices.IndexFunc(others, func(other *peer) bool { return other.text == *by }); i > 0 {
			others[0], others[i] = others[i], others[0]
		}
	}
	slices.SortStableFunc(others, func(a, b *peer) int { return doubted(a) - doubted(b) })
	return others[:min(len(others), maxRelays)]
}

// doubted is 1 if a call to p has gone unanswered, or else 0.
func doubted(p *peer) int {
	if p.health.doubt.Load() {
		return 1
	}
	return 0
}

// serveRelay asks the place of an id, which is p, for a member that cannot reach it.
func (n *Node) serveRelay(c wire.Call, p *peer) {
	if c.Peer().Role != wire.RoleMember {
		c.Fail(wire.Errorf(wire.BadRequest, wire.NotRun, "only members ask for a relay"))
		return
	}
	if err := n.routed.enter(len(c.Request.Data)); err != nil {
		c.Fail(err)
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, clampTimeout(c.Timeout))
	c.OnCancel(cancel)
	n.wg.Go(func() {
		defer n.routed.leave(len(c.Request.Data))
		defer cancel()
		reply, err := n.passOn(ctx, p, c.Request)
		n.answer(c, reply, err)
	})
}

// passOn asks p itself, if that gives a sign of life. A request with little time left does not show
// that p is out of reach.
func (n *Node) passOn(ctx context.Context, p *peer, request wire.Request) (worker.Reply, error) {
	request.Relay = false
	hurried := clock.Left(ctx) < relayPing
	ping, cancel := context.WithTimeout(ctx, relayPing)
	defer cancel()
	s, err := n.members.sessions.get(ping, p)
	if err == nil {
		_, err = s.Ping(ping)
	}
	if err == nil {
		return n.ask(ctx, p, &request)
	}
	e := &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Node: p.text, Text: "out of reach from " + n.name}
	switch {
	case errors.Is(err, wire.Leaving):
		e.Code = wire.Leaving
	case hurried && !p.lost.Load():
		e.Code, e.Text = wire.DeadlineExceeded, "no sign of life in time"
	}
	return worker.Reply{}, e
}
