package route

import (
	"context"
	"errors"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/internal/trace"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Places knows the places of ids of strict kinds. [quorum.Quorum] is one.
type Places interface {
	// Place returns the name of the node that acts for an id, or says that it is this one.
	// Known is false if this node knows of none.
	Place(id worker.ID) (name placement.Name, here, known bool)

	// Quorum returns an error if no leader of the voters has answered for the time of a lease.
	Quorum() *wire.Error

	// RenewNow has this node ask the voters, who may know better by now.
	RenewNow()
}

// A want is what is wanted of a strict kind.
type want struct {
	worker.Key
	call    bool // a server is to answer message; else a value is wanted
	message worker.Value
	fresh   bool // the value is to come from a load that begins now
}

// strictly is Call and Request for a strict kind. The view of the voters says who acts for the
// id, and that node checks by itself whether it may answer. Until one has begun to, it is asked
// again. No other node answers.
func (rt *Router) strictly(ctx context.Context, r *registry.Registry, w *want) (worker.Reply, error) {
	reply, took, err := rt.strictlyAt(ctx, rt.strictPlace(w.ID), r, w)
	if err != nil {
		began := rt.Clock.Now() - took
		ctx, cancel := clock.WithRest(ctx, took)
		err = rt.strictlyAgain(ctx, w.ID, err, w.call || r.Exclusive(), func(p *peers.Peer) (err error) {
			r, e := rt.Kinds.For(w.Kind, w.call) // the kinds may have changed
			if e != nil {
				return e
			}
			reply, _, err = rt.strictlyAt(ctx, p, r, w)
			return err
		})
		cancel()
		took = rt.Clock.Now() - began
	}
	rt.Note(ctx, r.Name(), w.ID, took, &reply, err)
	if t := rt.Taps.Of(w.Kind, w.ID); t != nil && w.call {
		t.Called(rt.Node, w.message, took, &reply, err)
	} else if t != nil {
		t.Requested(rt.Node, w.fresh, took, &reply, err)
	}
	return reply, err
}

// strictlyAt asks one node, whose kind r is if it is this one, and reports how long that took.
func (rt *Router) strictlyAt(ctx context.Context, p *peers.Peer, r *registry.Registry, w *want) (reply worker.Reply, took time.Duration, err error) {
	switch {
	case w.call && p.Self && r.Serial():
		return r.Await(ctx, w.ID, w.message)
	case w.call:
		return rt.callAt(ctx, p, w.Key, w.message)
	case p.Self:
		if !w.fresh && r.Lookup(w.ID, r.Now(), false, &reply) {
			return reply, 0, nil
		}
		took, err = rt.here(ctx, w.Kind, w.ID, w.fresh, &reply)
		return reply, took, err
	}
	request := protocol.NewRequest(w.Kind, w.ID)
	request.Fresh, request.Trace, request.Chain = w.fresh, trace.Of(ctx), chain.Of(ctx)
	if err := chain.Check(request.Chain, w.Kind, w.ID); err != nil {
		return reply, 0, err
	}
	began := rt.Clock.Now()
	reply, err = rt.ask(ctx, p, &request)
	return reply, rt.Clock.Now() - began, err
}

// strictlyAgain goes on after a node has failed with err: it tries the node that acts for the
// id by then, again and again while that may help. Once is said of what must not run twice.
func (rt *Router) strictlyAgain(ctx context.Context, id worker.ID, err error, once bool, try func(*peers.Peer) error) error {
	for backoff := (clock.Backoff{First: 5 * time.Millisecond, Last: 100 * time.Millisecond}); err != nil; {
		e, failure := protocol.Classify(err)
		if rt.Closing.Load() || e == nil || once && e.Outcome != wire.NotRun || failure == protocol.Final && e.Code != wire.Fenced {
			break
		}
		if failure == protocol.Elsewhere {
			rt.Places.RenewNow()
		} else if why := rt.Places.Quorum(); why != nil { // nobody takes the place of a node that is lost
			return protocol.WithOutcome(why, e.Outcome)
		}
		if !backoff.Sleep(ctx) {
			break // and what was in the way says more than that time is up
		}
		if err = try(rt.strictPlace(id)); err != nil {
			if next, ok := errors.AsType[*wire.Error](err); ok {
				err = protocol.WithOutcome(next, e.Outcome)
			}
		}
	}
	return err
}

// strictPlace returns the node to ask for an id: this one, if it knows of none, as that waits
// until it does.
func (rt *Router) strictPlace(id worker.ID) *peers.Peer {
	if name, here, known := rt.Places.Place(id); known && !here {
		if p := rt.Members.View().Peer(name); p != nil {
			return p
		}
	}
	return rt.self
}
