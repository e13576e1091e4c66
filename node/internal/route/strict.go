package route

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Places knows the places of ids of strict kinds. [quorum.Quorum] is one.
type Places interface {
	// Owns reports whether this node acts for an id.
	Owns(id worker.ID) bool

	// Place returns the name of the node that acts for an id, if this one knows.
	Place(id worker.ID) (name string, ok bool)

	// Quorum returns an error if no leader of the voters has answered for the time of a lease.
	Quorum() *wire.Error

	// RenewNow has this node ask the voters, who may know better by now.
	RenewNow()
}

// strictly is Call for a strict kind. The view of the voters says who acts for the id, and
// that node checks by itself whether the call may start. Until one has begun it, the call is
// made again.
func (rt *Router) strictly(ctx context.Context, r *registry.Registry, k worker.Key, message worker.Value) (worker.Reply, error) {
	reply, took, err := rt.callAt(ctx, rt.strictPlace(k.ID), k, message)
	if err != nil {
		began := rt.Clock.Now() - took
		reply, err = rt.strictlyAgain(ctx, k, message, took, err)
		took = rt.Clock.Now() - began
	}
	rt.Note(ctx, r.Name(), k.ID, took, &reply, err)
	return reply, err
}

// strictlyAgain goes on after a call has failed, which took some time.
func (rt *Router) strictlyAgain(ctx context.Context, k worker.Key, message worker.Value, took time.Duration, err error) (reply worker.Reply, _ error) {
	ctx, cancel := clock.WithRest(ctx, took)
	defer cancel()
	for backoff := (clock.Backoff{First: 5 * time.Millisecond, Last: 100 * time.Millisecond}); ; {
		e, failure := protocol.Classify(err)
		if err == nil || failure == protocol.Final || e.Outcome != wire.NotRun || rt.Closing.Load() {
			break
		}
		if failure == protocol.Elsewhere {
			rt.Places.RenewNow()
		} else if why := rt.Places.Quorum(); why != nil {
			err = why // nobody takes the place of a node that is lost
			break
		}
		if !backoff.Sleep(ctx) {
			break // and what was in the way says more than that time is up
		}
		reply, _, err = rt.callAt(ctx, rt.strictPlace(k.ID), k, message)
	}
	return reply, err
}

// strictPlace returns the node to ask for an id: this one, if it knows of none, as that waits
// until it does.
func (rt *Router) strictPlace(id worker.ID) *peers.Peer {
	if rt.Places.Owns(id) {
		return rt.self
	}
	if name, ok := rt.Places.Place(id); ok {
		if p, err := rt.Members.Member(name); err == nil {
			return p
		}
	}
	return rt.self
}
