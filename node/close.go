package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/registry"
)

// Close leaves the cluster: the node takes no more calls, tells the others, waits for its running calls, and stops. The
// calls have until ctx ends, or 5 s if ctx has no deadline. Then Close ends their contexts; their callers get
// [ErrClosed] with an unknown outcome. Close waits at most 1 s for the handler of the log. It fails if a source goes on after its
// context has ended. It may be called more than once; all but the first only wait.
func (n *Node) Close(ctx context.Context) error {
	n.closeOnce.Do(func() {
		ctx, cancel := clock.WithTimeout(ctx, drainTimeout)
		defer cancel()
		registries := n.beginLeaving()
		n.hold(ctx, append(n.removedKinds(), registries...))
		n.flush(ctx)
		n.closing.Store(true)
		n.sayGoodbye()
		n.members.leave()
		n.drainRouted(ctx)
		for _, r := range append(registries, n.probed) {
			n.closeErr = errors.Join(n.closeErr, r.Close(ctx))
		}
		n.flush(ctx)
		n.handover.Close()
		n.cancel()
		n.listener.Close()
		n.members.close()
	})
	n.wg.Wait()
	n.flushLog()
	return n.closeErr
}

// beginLeaving hands over what is cached, and keeps the kinds from changing.
func (n *Node) beginLeaving() []*registry.Registry {
	n.kindsMu.Lock()
	n.leaving.Store(true)
	n.kindsMu.Unlock()
	registries := n.registries()
	if !slices.Contains(registries, n.registry) {
		registries = append(registries, n.registry) // without a default kind
	}
	for _, r := range registries {
		r.Leave()
	}
	return registries
}

// sayGoodbye tells the peers, members and clients alike, which of their calls were the last that this node took. They
// make all others elsewhere.
func (n *Node) sayGoodbye() {
	close(n.left)
	for _, ws := range n.members.pool.Live() {
		ws.Goodbye()
	}
}

// hold ends the servers of serial kinds before another node may start theirs.
func (n *Node) hold(ctx context.Context, registries []*registry.Registry) {
	var wg sync.WaitGroup
	for _, r := range registries {
		wg.Go(func() { r.Quiesce(ctx) })
	}
	wg.Wait()
}

// flush waits until the answers that leave this node have gone, but not long.
func (n *Node) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if n.handover.Flush(ctx) != nil {
		n.log.Debug("not all answers were handed over")
	}
}

// drainRouted waits for the calls of clients to other nodes.
func (n *Node) drainRouted(ctx context.Context) {
	for n.routed.calls.Load() > 0 && clock.Sleep(ctx, 5*time.Millisecond) {
	}
}
