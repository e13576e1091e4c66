package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

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

// relays is what a node knows of the ways to a peer that it cannot reach itself.
type relays struct {
	failed atomic.Int64           // when all relays that were asked failed last, in Unix nanoseconds
	by     atomic.Pointer[string] // the one that answered last; nil once the peer is reached again
}

// relay asks p by way of other members, the next one if the last one certainly did not reach p. It
// reports whether there was one to ask; its error is a session's.
func (n *Node) relay(ctx context.Context, p *peer, request *wire.Request, reply *Reply) (asked bool, err error) {
	if time.Since(time.Unix(0, p.relays.failed.Load())) < relayRest {
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
			p.relays.by.Store(&by.text)
			return true, nil
		}
		if OutcomeOf(err) != NotRun {
			break
		}
	}
	p.relays.failed.Store(time.Now().UnixNano())
	return true, err
}

// relaysTo returns members that may reach p, which this node does not: first the one that did last. The
// cluster must take p for alive.
func (n *Node) relaysTo(p *peer) []*peer {
	v := n.members.view.Load()
	if v.peer(p.name) != p || v.failed(p) || !p.lost.Load() {
		return nil
	}
	var others []*peer
	for i, other := range v.peers {
		if other != p && !other.self && !v.seats[i].failed && !other.lost.Load() && !other.health.doubt.Load() {
			others = append(others, other)
		}
	}
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	if by := p.relays.by.Load(); by != nil {
		if i := slices.IndexFunc(others, func(other *peer) bool { return other.text == *by }); i > 0 {
			others[0], others[i] = others[i], others[0]
		}
	}
	return others[:min(len(others), maxRelays)]
}

// serveRelay asks the place of an id, which is p, for a member that cannot reach it.
func (n *Node) serveRelay(c wire.Call, p *peer) {
	if c.Peer().Role != wire.RoleMember {
		c.Fail(wire.Errorf(wire.BadRequest, NotRun, "only members ask for a relay"))
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

// passOn asks p itself, if that gives a sign of life.
func (n *Node) passOn(ctx context.Context, p *peer, request wire.Request) (Reply, error) {
	request.Relay = false
	ping, cancel := context.WithTimeout(ctx, relayPing)
	defer cancel()
	s, err := n.members.sessions.get(ping, p)
	if err == nil {
		_, err = s.Ping(ping)
	}
	if err != nil {
		e := &wire.Error{Code: wire.Unreachable, Outcome: NotRun, Node: p.text, Text: "out of reach from " + n.name, Members: nil}
		if we, ok := errors.AsType[*wire.Error](err); ok && we.Code == wire.Leaving {
			e.Code = wire.Leaving
		}
		return Reply{}, e
	}
	return n.ask(ctx, p, &request)
}
