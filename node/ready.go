package node

import (
	"context"
	"errors"

	"github.com/distproc/distproc/wire"
)

// readyKind is what Ready asks for. It is no name of a kind, so that nobody's is hidden by it.
const readyKind = ".ready"

// Ready makes a request as another program would, through the port of this node, and returns nil if it is answered: the node listens,
// admits who has the cookie, finds the place of an id, starts a worker, and takes its answer back. No source is
// asked, and no other node.
func (n *Node) Ready(ctx context.Context) error {
	if n.leaving.Load() {
		return &wire.Error{Code: wire.Closed, Outcome: NotRun, Text: "the node is leaving"}
	}
	if n.members.outranked.Load() {
		return n.members.rank()
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	id, ok := n.members.view.Load().someID()
	if !ok {
		return errors.New("the others take this node for failed")
	}
	hello := wire.Hello{Name: "ready", Role: wire.RoleClient}
	s, err := wire.Dial(ctx, n.addr.HostPort(), n.members.creds, hello, refuser{})
	if err != nil {
		return err
	}
	defer s.Close()
	err = s.Call(ctx, &wire.Request{Kind: readyKind, Num: id.num}, timeoutOf(ctx), new(wire.Reply))
	return err
}

// someID returns an id of which this node is the place.
func (v *view) someID() (id ID, ok bool) {
	for i := range 64 * len(v.peers) {
		if id = IntID(int64(i)); v.place(id).self {
			return id, true
		}
	}
	return id, false
}
