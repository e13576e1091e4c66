package node

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/distproc/distproc/node/internal/events"
	"github.com/distproc/distproc/node/internal/kinds"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// SetKinds changes the kinds of workers that the node has besides the default one; under
// the name "default", that one too. Live workers go on under the rules by which they were
// started. Workers of a kind that is left out end, and calls for it fail.
//
// SetKinds fails, and changes nothing, if a name is not 1 to 64 letters, digits, _ or -,
// or if a field of a kind makes no sense, such as a negative duration.
func (n *Node) SetKinds(kinds map[string]worker.Kind) error {
	err := n.kinds.Change(kinds)
	if err == nil {
		n.log.Log(n.ctx, events.Level, "kinds changed", "kinds", strings.Join(slices.Sorted(maps.Keys(kinds)), ","))
		n.pool.Each(func(ctx context.Context, p *peers.Peer, ws *wire.Session) {
			n.compareKinds(ctx, p, ws)
			ctx, cancel := context.WithTimeout(ctx, n.members.OpTimeout())
			defer cancel()
			_ = ws.Do(ctx, protocol.OpKinds, nil, nil) // it has compared them with the old ones
		})
	}
	return err
}

// compareKinds asks a peer what its kinds are, and logs it if they are not this node's.
// It logs a difference once.
func (n *Node) compareKinds(ctx context.Context, p *peers.Peer, ws *wire.Session) {
	ctx, cancel := context.WithTimeout(ctx, n.members.OpTimeout())
	defer cancel()
	var info NodeInfo
	if ws.Peer().Role != wire.RoleMember || ws.Do(ctx, protocol.OpInfo, nil, &info) != nil {
		return
	}
	n.differing.Note(n.log, p.Text, kinds.Differing(n.kinds.Definitions(), info.Kinds))
}
