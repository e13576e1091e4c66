package client

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/trace"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const maxTries = 3 // nodes that a call is made at, but for the first

// Do makes an operation at home, or if that did not run as home is lost, at another node.
func (c *Client) Do(ctx context.Context, op wire.Op, args, result any) error {
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	s := c.home.Load()
	err := protocol.Known(op, s.Do(ctx, op, args, result))
	if e, _ := protocol.Classify(err); e == nil || e.Outcome != wire.NotRun || s.Err() == nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	if other := c.another(ctx, []*wire.Session{s}, deadline); other != nil {
		return protocol.Known(op, other.Do(ctx, op, args, result))
	}
	return err
}

// Ask makes a request, or a call, at the place of an id. With many calls in flight most of
// what one takes is to fetch its stack from memory, so what is rare has functions of its
// own.
func (c *Client) Ask(ctx context.Context, id worker.ID, request *wire.Request) (worker.Reply, error) {
	if c.Tracer != nil {
		return c.tracedAsk(ctx, id, request)
	}
	return c.ask(ctx, id, request)
}

// tracedAsk is ask with a span.
func (c *Client) tracedAsk(ctx context.Context, id worker.ID, request *wire.Request) (reply worker.Reply, err error) {
	ctx, end := c.Tracer.Start(ctx, observe.Span{
		Op: observe.OpRequest, Kind: cmp.Or(request.Kind, worker.DefaultKind), ID: id, Call: request.IsCall, Node: c.Home().Peer().Name,
	})
	defer func() { end(observe.SpanEnd{Reply: reply, Err: err}) }()
	return c.ask(ctx, id, request)
}

func (c *Client) ask(ctx context.Context, id worker.ID, request *wire.Request) (worker.Reply, error) {
	request.Forward, request.Trace, request.Chain = true, trace.Of(ctx), chain.Of(ctx)
	if err := chain.Check(request.Chain, request.Kind, id); err != nil {
		return worker.Reply{}, err
	}
	timeout := clock.Left(ctx)
	p, s := c.view.Load().Acting(id), c.home.Load()
	if c.Direct {
		s = c.sessionTo(p)
	}
	var reply worker.Reply
	if took, err := askOn(ctx, s, request, timeout, &reply); err != nil {
		return c.retry(ctx, s, request, err, time.Now().Add(timeout-took))
	}
	if c.Direct && reply.Node != p.Text {
		c.markStale()
	}
	return reply, nil
}

// askOn asks on a session, and reports how long that took: the session knows, without the
// two looks at the clock that would be a tenth of all that the caller does.
func askOn(ctx context.Context, s *wire.Session, request *wire.Request, timeout time.Duration, reply *worker.Reply) (took time.Duration, err error) {
	var r wire.Reply
	if err := s.Call(ctx, request, timeout, &r); err != nil {
		return r.Took, err
	}
	protocol.SetReply(reply, &r)
	return r.Took, nil
}

// sessionTo returns the session to p, or while there is none the one to home.
func (c *Client) sessionTo(p *peers.Peer) *wire.Session {
	if s := p.Session(); s != nil {
		return s
	}
	return c.byHome(p)
}

// byHome returns the session to home for a call to p, and sees to it that p is dialled
// unless it was lost: then it is dialled already, now and then.
func (c *Client) byHome(p *peers.Peer) *wire.Session {
	if !p.Self && !p.Lost() {
		c.pool.Begin(p)
	}
	return c.home.Load()
}

// retry makes a call that failed on a session once more, if it did not run or may run
// twice. It asks home, or while that cannot be reached another node: these know the
// fallbacks, and what to answer in the end.
func (c *Client) retry(ctx context.Context, s *wire.Session, request *wire.Request, err error, until time.Time) (worker.Reply, error) {
	var asked []*wire.Session
	before := wire.NotRun // what became of the call where it was made
	for try := 1; ; try++ {
		e, failure := protocol.Classify(err)
		if e == nil || failure == protocol.Apart && s == c.home.Load() {
			return worker.Reply{}, err // the client is to see the cluster as home does
		}
		if failure != protocol.Final {
			c.markStale()
		}
		if e.Outcome == wire.Unknown {
			before = wire.Unknown
		}
		if failure == protocol.Final || e.Outcome == wire.Ran || e.Outcome == wire.Unknown && c.exclusive(request) {
			return worker.Reply{}, protocol.WithOutcome(e, before)
		}
		if failure != protocol.Elsewhere { // which a node says that is well, and knows the place the next time
			asked = append(asked, s)
		}
		over := try > maxTries || c.ctx.Err() != nil || ctx.Err() != nil || !time.Now().Before(until)
		if !over {
			s = c.another(ctx, asked, until)
		}
		if over || s == nil {
			return worker.Reply{}, protocol.WithOutcome(late(ctx, until, e), before)
		}
		var reply worker.Reply
		if _, err = askOn(ctx, s, request, time.Until(until), &reply); err == nil {
			return reply, nil
		}
	}
}

// late returns e as the error of a call for which no other node was found before its time
// was up.
func late(ctx context.Context, until time.Time, e *wire.Error) *wire.Error {
	why := ctx.Err()
	if why == nil && !time.Now().Before(until) {
		why = context.DeadlineExceeded
	}
	if why == nil || e.Lost() { // which tells more than that time is up
		return e
	}
	return protocol.Late(why, e)
}

// another returns a session to a node that was not asked: to home, or to any other one. If
// there is none, another dials, unless the client stays. It returns nil once every node
// has refused, or at the time until.
func (c *Client) another(ctx context.Context, asked []*wire.Session, until time.Time) *wire.Session {
	for _, s := range c.sessions() {
		if !slices.Contains(asked, s) {
			return s
		}
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for slow := !c.Stay; slow && ctx.Err() == nil; {
		slow = false
		v := c.view.Load()
		for _, i := range rand.Perm(len(v.Peers)) {
			p := v.Peers[i]
			if v.Ring.Slot(i).Failed || p.Lost() || p.Text == c.home.Load().Peer().Name {
				continue
			}
			// A node that does not answer must leave time for the others.
			wait, cancel := context.WithTimeout(ctx, time.Until(until)/2)
			s, err := c.pool.Dial(wait, p)
			slow = slow || err != nil && wait.Err() != nil
			cancel()
			if err == nil && !slices.Contains(asked, s) {
				return s
			}
		}
	}
	return nil
}

// sessions returns the sessions that take calls: that to home first, and those to the
// members in any order.
func (c *Client) sessions() (list []*wire.Session) {
	for _, p := range c.view.Load().Peers {
		if s := p.Session(); s != nil && !ended(s) {
			list = append(list, s)
		}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	if s := c.home.Load(); !ended(s) {
		list = slices.Insert(list, 0, s)
	}
	return list
}

// ended reports whether a session takes no calls any more.
func ended(s *wire.Session) bool { return s.Err() != nil || clock.IsDone(s.Leaving()) }
