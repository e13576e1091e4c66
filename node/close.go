package node

import (
	"context"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/strict"
)

// Close leaves the cluster: the node takes no more calls, tells the others, waits for its
// running calls, and stops. The calls have until ctx ends, or 5 s if ctx has no deadline.
// Then Close ends their contexts; their callers get [ErrClosed] with an unknown outcome.
// Close waits at most 1 s for the handler of the log. It fails if a source goes on after
// its context has ended. It may be called more than once; all but the first only wait.
func (n *Node) Close(ctx context.Context) error {
	n.closeOnce.Do(func() {
		ctx, cancel := clock.WithTimeout(ctx, drainTimeout)
		defer cancel()
		strict.Leave(ctx, n.quorum, n.members)
		n.leaving.Store(true)
		n.kinds.Leave(ctx)
		n.flush(ctx)
		n.closing.Store(true)
		n.sayGoodbye()
		n.members.Leave()
		n.forwards.Drain(ctx)
		n.closeErr = n.kinds.Close(ctx)
		n.flush(ctx)
		n.handoffs.Close()
		strict.Close(n.quorum)
		n.cancel()
		n.listener.Close()
		n.claims.Close()
		n.members.Close()
	})
	n.kinds.Wait()
	n.wg.Wait()
	n.flushLog()
	return n.closeErr
}

// sayGoodbye tells members and clients which of their calls was the last that this node
// took. They make later ones elsewhere.
func (n *Node) sayGoodbye() {
	close(n.left)
	for _, ws := range n.pool.Live() {
		ws.Goodbye()
	}
}

// flush waits until the answers that leave this node are sent, for as long as some leave
// in every flushTimeout, and for half of the time that is left at most.
func (n *Node) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, clock.Left(ctx)/2)
	defer cancel()
	if n.handoffs.Drain(ctx, flushTimeout) != nil {
		n.log.Debug("not all answers were handed off")
	}
}
