package route

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Two nodes that cannot talk to each other may both be members, because a third one
// reaches both. Then that one passes requests on, once: it asks the owner over its own
// session, and nobody else, so there are no loops. It first makes sure that the owner
// answers, so that a request for an owner that is dead or paused fails as not run.

const (
	relayPing = 500 * time.Millisecond // for the owner's sign of life to the relay
	relayTime = time.Second            // for relays to answer a request that this node can answer itself
	maxRelays = 3                      // that are asked one after the other
)

// relay asks p by way of other members, the next one if the last one certainly did not
// reach p. It reports whether there was one to ask.
func (rt *Router) relay(ctx context.Context, p *peers.Peer, request *wire.Request, reply *worker.Reply) (asked bool, err error) {
	began := time.Now()
	if p.Relays.Resting(began) {
		return false, nil
	}
	others := rt.relaysTo(p)
	if len(others) == 0 {
		return false, nil
	}
	if !rt.Kinds.Exclusive(request) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, relayTime)
		defer cancel()
	}
	r := *request
	r.Relay, r.Forward = true, false
	for _, by := range others {
		*reply, err = rt.ask(ctx, by, &r)
		if err == nil {
			reply.Via = by.Text
		}
		outcome := protocol.OutcomeOf(err)
		if err == nil || outcome == worker.OutcomeRan {
			p.Relays.Answered(&by.Text)
			return true, err
		}
		if outcome != worker.OutcomeNotRun {
			break
		}
	}
	p.Relays.Missed(began, err)
	return true, err
}

// relaysTo returns members that may reach p, which this node does not. The relay that
// answered last comes first, and members with unanswered calls come last. The cluster
// must take p for alive.
func (rt *Router) relaysTo(p *peers.Peer) []*peers.Peer {
	v := rt.Members.View()
	if v.Peer(p.Name) != p || v.Failed(p) || !p.Lost() {
		return nil
	}
	var others []*peers.Peer
	for i, other := range v.Peers {
		if other != p && !other.Self && !v.Ring.Slot(i).Failed && !other.Lost() && !other.AnyStuck() {
			others = append(others, other)
		}
	}
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	if by := p.Relays.Last(); by != nil {
		if i := slices.IndexFunc(others, func(other *peers.Peer) bool { return other.Text == *by }); i > 0 {
			others[0], others[i] = others[i], others[0]
		}
	}
	slices.SortStableFunc(others, func(a, b *peers.Peer) int { return suspicion(a) - suspicion(b) })
	return others[:min(len(others), maxRelays)]
}

// suspicion is 1 if a call to p has gone unanswered, or else 0.
func suspicion(p *peers.Peer) int {
	if p.Doubtful() {
		return 1
	}
	return 0
}

// PassOn asks p itself for a member that cannot reach it, if p gives a sign of life. A
// request with little time left does not show that p is out of reach.
func (rt *Router) PassOn(ctx context.Context, p *peers.Peer, request wire.Request) (worker.Reply, error) {
	request.Relay = false
	hurried := clock.Left(ctx) < relayPing
	ping, cancel := context.WithTimeout(ctx, relayPing)
	defer cancel()
	s, err := rt.pool.Get(ping, p)
	if err == nil {
		err = s.Ping(ping)
	}
	if err == nil {
		return rt.ask(ctx, p, &request)
	}
	e := &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Node: p.Text, Text: "out of reach from " + rt.Node}
	switch {
	case errors.Is(err, wire.Leaving):
		e.Code = wire.Leaving
	case hurried && !p.Lost():
		e.Code, e.Text = wire.DeadlineExceeded, "no sign of life in time"
	}
	return worker.Reply{}, e
}
