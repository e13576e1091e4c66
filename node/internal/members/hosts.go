package members

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/wire"
)

// A poolHost is what the pool of sessions knows of the members.
type poolHost struct{ m *Members }

func (h poolHost) Hello() wire.Hello { return h.m.Hello() }

func (h poolHost) Dial(ctx context.Context, addr string) (*wire.Session, error) {
	return wire.Dial(ctx, addr, h.m.Creds, h.m.Hello(), h.m.Serve)
}

func (h poolHost) Changed() { h.m.changed() }

func (h poolHost) DialFailed(err error) { h.m.noteRefusal(err) }

func (h poolHost) CallTimeout(kind string) time.Duration { return h.m.host.CallTimeout(kind) }

func (h poolHost) Met(ctx context.Context, p *peers.Peer, s *wire.Session) {
	h.m.met(s.Peer())
	h.m.host.Met(ctx, p, s)
}

// A gossipHost is what gossip knows of the members.
type gossipHost struct{ m *Members }

func (h gossipHost) Valid(name, addr string) bool { return validMember(name, addr) }

func (h gossipHost) Changed() { h.m.refresh() }

func (h gossipHost) Conflict(other wire.Member) { h.m.conflict(other) }

func (h gossipHost) Dial(ctx context.Context, w wire.Member) (gossip.Link, error) {
	return h.m.dialLink(ctx, w)
}

func (h gossipHost) Sync(ctx context.Context, g *gossip.Gossip, w wire.Member) error {
	return h.m.syncWith(ctx, g, w)
}
