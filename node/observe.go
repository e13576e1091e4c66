package node

import (
	"context"
	"log/slog"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/observe"
)

// Logger returns a logger for what the program has to tell about the node. What is logged at
// level info or above becomes an event, and goes to Config.Logger as the node's own lines.
func (n *Node) Logger() *slog.Logger { return n.log }

// Events returns what happened lately on this node or, as the query says, on another
// member: nodes that came, failed, left or were refused, changes of the view and of kinds,
// operations of other programs, and what the node logs at level info or above besides. A
// node keeps at most 10,000 events, and 2 MiB of them; a page has at most 1,000.
func (n *Node) Events(ctx context.Context, q observe.EventQuery) (observe.Events, error) {
	return n.observer.Events(ctx, q)
}

// Trace returns the requests and calls for an id that were answered, after a mark, at the
// node that acts for it. The first call, with the zero mark, returns none and begins the
// trace, which goes on for 2 s after each call: ask a few times a second, each time with
// the Next of the last page. If another node acts for the id by now, the page is from
// that one. A node traces at most 32 ids at a time and keeps 1,000 steps of each; Missed
// counts those that went before they were asked for. While an id is traced only requests
// for it take longer. Trace fails with [ErrUnknownKind] if the node has no such kind, and
// with [ErrOverloaded] if it traces too many ids.
func (n *Node) Trace(ctx context.Context, q observe.TraceQuery) (observe.Steps, error) {
	return n.observer.Trace(ctx, q, n.own(ctx))
}

// Loads returns how many requests there were of each kind in the last 60 s on a member, or
// on all that answer within 1 s if name is empty.
func (n *Node) Loads(ctx context.Context, name string) ([]observe.Load, error) {
	return n.observer.Loads(ctx, name)
}

// Figures returns what each kind does now on this node or, as the query says, on another
// member, and what it did in the last 15 min, in samples of 5 s: at most 500 kinds, 50 of
// them with a past. With the mark of the last answer there are only newer samples. The
// figures cost a node about what a scrape of its metrics does. A member of an older version
// fails with [ErrUnsupported].
func (n *Node) Figures(ctx context.Context, q observe.FiguresQuery) (observe.Figures, error) {
	return n.observer.Figures(ctx, q)
}

// Hottest returns the ids of this node, or of another member, whose workers answer most, and
// those for which most calls wait, at most 50 of each. Ask it once a second: its rates are
// those since the last call, of whoever, if that was less than 10 s ago. Up to 50,000
// workers of a node it looks at all of them; with more, an id that has become hot is found
// within as many seconds of asking as the node has times 10,000 workers. Queues are always
// exact. A member of an older version fails with [ErrUnsupported].
func (n *Node) Hottest(ctx context.Context, q observe.HotQuery) (observe.Hot, error) {
	return n.observer.Hottest(ctx, q)
}

// Events is [Node.Events] as asked by the node.
func (c *Client) Events(ctx context.Context, q observe.EventQuery) (page observe.Events, err error) {
	err = c.reach.Do(ctx, protocol.OpEvents, q, protocol.BoundedEvents(&page))
	return page, err
}

// Trace is [Node.Trace] as asked by the node.
func (c *Client) Trace(ctx context.Context, q observe.TraceQuery) (page observe.Steps, err error) {
	err = c.reach.Do(ctx, protocol.OpTrace, q, protocol.BoundedSteps(&page))
	return page, err
}

// Loads is [Node.Loads] as asked by the node.
func (c *Client) Loads(ctx context.Context, name string) (list []observe.Load, err error) {
	err = c.reach.Do(ctx, protocol.OpLoads, name, protocol.BoundedLoads(&list))
	return list, err
}

// Figures is [Node.Figures] as asked by the node.
func (c *Client) Figures(ctx context.Context, q observe.FiguresQuery) (f observe.Figures, err error) {
	err = c.reach.Do(ctx, protocol.OpFigures, q, protocol.BoundedFigures(&f))
	return f, err
}

// Hottest is [Node.Hottest] as asked by the node.
func (c *Client) Hottest(ctx context.Context, q observe.HotQuery) (h observe.Hot, err error) {
	err = c.reach.Do(ctx, protocol.OpHottest, q, protocol.BoundedHot(&h))
	return h, err
}
