package route

import (
	"context"

	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Steps are the steps of a request one by one. They are for tests of nodes.
type Steps struct{ *Router }

// Ask asks one node.
func (s Steps) Ask(ctx context.Context, p *peers.Peer, request *wire.Request) (worker.Reply, error) {
	return s.ask(ctx, p, request)
}

// RequestFrom makes a request whose path begins at p.
func (s Steps) RequestFrom(ctx context.Context, p *peers.Peer, kind string, id worker.ID) (reply worker.Reply, err error) {
	_, err = s.requestFrom(ctx, p, kind, id, false, &reply)
	return reply, err
}

// RecordFailure notes what a failed call tells of p.
func (s Steps) RecordFailure(p *peers.Peer, ws *wire.Session, request *wire.Request, err error) error {
	return s.recordFailure(p, ws, request, err)
}

// Relay asks p by way of other members.
func (s Steps) Relay(ctx context.Context, p *peers.Peer, request *wire.Request) (asked bool, err error) {
	return s.relay(ctx, p, request, new(worker.Reply))
}

// RelaysTo returns the members that are asked for that, in order.
func (s Steps) RelaysTo(p *peers.Peer) []*peers.Peer { return s.relaysTo(p) }

// RelayOrHere goes on after p could not be reached. Before is what became of the request
// there.
func (s Steps) RelayOrHere(ctx context.Context, id worker.ID, p *peers.Peer, request *wire.Request, before wire.Outcome) (reply worker.Reply, err error) {
	err = s.relayOrHere(ctx, id, p, request, before, &reply)
	return reply, err
}
