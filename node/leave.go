package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const disconnectTimeout = 10 * time.Second // of Disconnect, if its context has no deadline; longer than servers have to end

// Disconnect has a member leave the cluster, and returns nil when that has taken effect:
// its servers of serial kinds have ended, its cached answers are handed off, and neither
// it nor a living member of the cluster has the other in its view. The node stays up,
// apart: see [Node.GoAlone]. A member that has failed loses its slot at once.
//
// Calls that run there have 5 s; then their contexts end. If a call goes on after that,
// the node stays a member and Disconnect fails. Without a deadline in ctx Disconnect has
// 10 s. If its time is up, the error says what is not done yet.
func (n *Node) Disconnect(ctx context.Context, name string) error {
	return n.disconnect(ctx, name, n.own(ctx))
}

// disconnect is Disconnect as asked for by an actor.
func (n *Node) disconnect(ctx context.Context, name string, by audit.Actor) error {
	p, err := n.members.Member(name)
	if err != nil {
		return err
	}
	if p.Self {
		return wire.Errorf(wire.BadRequest, wire.NotRun, "%s is this node itself; disconnect it from another node", name)
	}
	ctx, cancel := clock.WithTimeout(ctx, disconnectTimeout)
	defer cancel()
	if err := n.members.Remove(ctx, p); err != nil {
		return err
	}
	n.audit.Note("member removed", by, "node", p.Text)
	if late := n.claims.AwaitAgreement(ctx); len(late) > 0 {
		e := wire.Ended(ctx.Err(), wire.Ran)
		e.Text = fmt.Sprintf("%s has left, but may still be in the view of %s; see nodes() there", p.Text, strings.Join(late, ", "))
		return e
	}
	return nil
}

// serveDetach has this node leave the cluster, and waits until it has or ctx ends.
func (n *Node) serveDetach(ctx context.Context) error {
	left := make(chan error, 1)
	n.wg.Go(func() { left <- n.detach(false) })
	select {
	case err := <-left:
		return err
	case <-ctx.Done():
		return wire.Ended(ctx.Err(), wire.Unknown)
	}
}

// detach leaves the cluster as Close does, but the node goes on, apart. If a server does
// not end in time the node stays, unless it must leave: then another node may start a
// server of the same id.
func (n *Node) detach(must bool) error {
	select {
	case n.detaching <- struct{}{}:
		defer func() { <-n.detaching }()
	case <-n.ctx.Done():
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	if v := n.members.View(); v.Apart && len(v.Peers) == 1 {
		return nil // it has left since the caller asked
	}
	ctx, cancel := context.WithTimeout(n.ctx, drainTimeout)
	defer cancel()
	if err := n.kinds.Quiesce(ctx); err != nil {
		if err.Code == wire.Closed {
			return err
		}
		if !must {
			n.log.Warn("cannot leave the cluster", "why", err.Text)
			n.kinds.Resume()
			return err
		}
	}
	if !n.members.BeginDetaching() {
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	n.retain(func(*registry.Registry, worker.ID) bool { return false })
	n.flush(n.ctx)
	if err := n.members.Detach(); err != nil {
		return err // no server starts here any more, because others may have theirs
	}
	n.kinds.Release()
	return nil
}

// GoAlone ends that this node is apart. A node that was disconnected is apart from its
// cluster: it starts no server of a serial kind, because that cluster may have one of the
// same id. A call fails with [ErrApart], and has not run, until the node connects to a
// node that is not apart, or is started anew. Call GoAlone when the cluster is gone, or
// shares nothing with this node. GoAlone fails if the node is not apart.
func (n *Node) GoAlone(ctx context.Context) error { return n.goAlone(n.own(ctx)) }

// goAlone is GoAlone as asked for by an actor.
func (n *Node) goAlone(by audit.Actor) error {
	if err := n.members.GoAlone(); err != nil {
		return err
	}
	n.audit.Note("goes on alone", by)
	return nil
}
