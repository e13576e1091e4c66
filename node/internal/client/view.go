package client

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/members"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const (
	firstFetch  = 100 * time.Millisecond // between two fetches of the view
	lastFetch   = time.Second            // between two that brought nothing new
	steadyFetch = 5 * time.Second        // nobody tells of a member that has left the cluster and answers on its own
	fetchTime   = time.Second            // that a node has to tell its view
)

// markStale has the view be fetched soon.
func (c *Client) markStale() {
	select {
	case c.stale <- struct{}{}:
	default:
	}
}

// refreshLoop fetches the view when it may be old, until the client is closed.
func (c *Client) refreshLoop() {
	pause := firstFetch
	for clock.Sleep(c.ctx, pause) {
		select {
		case <-c.stale:
			pause = min(2*pause, lastFetch)
		case <-time.After(cmp.Or(c.Steady, steadyFetch)):
			pause = firstFetch
		case <-c.ctx.Done():
		}
		if c.refresh() {
			pause = firstFetch
		}
	}
}

// refresh fetches the view of home, or while that cannot be asked of another node, and
// reports whether it is a new one. An older node cannot tell it: then home finds the
// places of ids.
func (c *Client) refresh() (news bool) {
	for _, s := range c.sessions() {
		var v protocol.View
		ctx, cancel := context.WithTimeout(c.ctx, fetchTime)
		err := s.Do(ctx, protocol.OpView, nil, protocol.BoundedView(&v))
		cancel()
		if err == nil {
			return c.setView(v)
		}
	}
	return false
}

// setView makes the view of a node the client's. It does not if this is another program
// than the one that made the view, and comes to another one.
func (c *Client) setView(m protocol.View) (news bool) {
	var list []*peers.Peer
	holds, failed := map[*peers.Peer]bool{}, map[*peers.Peer]bool{}
	for _, w := range m.Members {
		name, err := placement.ParseName(w.Name)
		if err != nil {
			return false
		}
		p := c.pool.Peer(name)
		list = append(list, p)
		holds[p], failed[p] = true, w.State != wire.Alive
	}
	routing, err := placement.ParseRouting(m.Routing)
	if err != nil || len(list) == 0 {
		return false
	}
	v := members.NewView(slices.Clone(list), failed, routing)
	if v.Ring.Epoch() != m.Epoch {
		return false
	}
	for i, w := range m.Members {
		c.pool.SetSlot(list[i], w.Addr, w.Incarnation, w.State == wire.Alive)
	}
	c.kinds.Store(&m.Kinds)
	old := c.view.Swap(v)
	c.pool.Retain(holds)
	return v.Ring.Epoch() != old.Ring.Epoch()
}

// Kinds returns the names of the kinds that home has, sorted.
func (c *Client) Kinds() []string { return slices.Sorted(maps.Keys(*c.kinds.Load())) }

// exclusive reports whether a request must not be made again if it may have run. That is
// said of a kind that home does not have, too.
func (c *Client) exclusive(request *wire.Request) bool {
	exclusive, known := (*c.kinds.Load())[cmp.Or(request.Kind, worker.DefaultKind)]
	return request.IsCall || exclusive || !known
}
