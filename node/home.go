package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// A client is attached to one node. When that leaves or is lost, the client moves to another member; it goes back when the
// node is a member again, as that is the node it was told to attach to.

const (
	firstRetry = 100 * time.Millisecond // pause between two attempts to attach
	lastRetry  = 2 * time.Second
	attachTime = time.Second     // to attach to another node, or to find out that the first one is back
	homeEvery  = 2 * time.Second // between two attempts to go back
	linger     = time.Second     // that a session without calls is kept, for one that was about to be made
)

// attach dials a node, whichever is there if a has no name.
func (c *Client) attach(ctx context.Context, a placement.Addr) (*wire.Session, error) {
	at := a.HostPort()
	if a.Name == c.addr.Name {
		at = c.at
	}
	s, err := wire.Dial(ctx, at, c.creds, protocol.ClientHello(), protocol.Refuser{})
	if err != nil {
		return nil, err
	}
	if got := s.Peer().Name; a.Node != "" && got != a.Name.String() {
		s.Close()
		return nil, wire.Errorf(wire.WrongName, wire.NotRun, "%s is %s", at, got)
	}
	return s, nil
}

// Self returns the name of the node that the client is attached to.
func (c *Client) Self() string { return c.session.Load().Peer().Name }

// maintain sees to it that the client is attached to a node, until the client is closed.
func (c *Client) maintain() {
	for {
		s := c.session.Load()
		var back <-chan time.Time
		if s.Peer().Name != c.addr.Name.String() {
			back = time.After(homeEvery/2 + rand.N(homeEvery))
		}
		select {
		case <-s.Done():
			c.log.Warn("node down; the client moves to another one", "node", s.Peer().Name, "why", s.Err())
			c.move(s)
		case <-s.Leaving():
			c.log.Info("node leaves; the client moves to another one", "node", s.Peer().Name)
			c.move(s)
		case <-back:
			c.goBack(s)
		case <-c.ctx.Done():
			s.Close()
			return
		}
	}
}

// move replaces a session that has ended, or is about to. It tries until it succeeds, or the client is closed.
func (c *Client) move(old *wire.Session) {
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		for _, a := range c.choices() {
			if c.ctx.Err() != nil {
				return
			}
			ctx, cancel := context.WithTimeout(c.ctx, attachTime)
			s, err := c.attach(ctx, a)
			cancel()
			if err == nil {
				c.replace(old, s)
				return
			}
		}
		if !clock.Sleep(c.ctx, retry/2+rand.N(retry)) {
			return
		}
	}
}

// choices returns the nodes to attach to: the first one, and then the members in any order.
func (c *Client) choices() []placement.Addr {
	list := []placement.Addr{c.addr}
	for _, p := range c.direct.view.Load().Peers {
		w := c.direct.pool.Seated(p)
		if a, err := placement.AddrOf(p.Name, w.Addr); err == nil && p.Name != c.addr.Name {
			list = append(list, a)
		}
	}
	rand.Shuffle(len(list)-1, func(i, j int) { list[i+1], list[j+1] = list[j+1], list[i+1] })
	return list
}

// goBack returns to the first node if that is a member of the cluster again. After a restart it is alone for a moment, and
// would answer for ids of others.
func (c *Client) goBack(old *wire.Session) {
	ctx, cancel := context.WithTimeout(c.ctx, attachTime)
	defer cancel()
	s, err := c.attach(ctx, c.addr)
	if err != nil {
		return
	}
	var m protocol.View
	err = s.Do(ctx, protocol.OpView, nil, protocol.BoundedView(&m))
	if err != nil || !slices.ContainsFunc(m.Members, func(w wire.Member) bool { return w.Name == old.Peer().Name }) {
		s.Close()
		return
	}
	c.replace(old, s)
}

// replace makes s the client's session. The old one ends when its calls have.
func (c *Client) replace(old, s *wire.Session) {
	c.session.Store(s)
	c.log.Info("node up", "node", s.Peer().Name)
	c.direct.age()
	if old.Err() != nil {
		old.Close()
		return
	}
	c.wg.Go(func() {
		for _, busy := old.Used(); busy && clock.Sleep(c.ctx, linger) && old.Err() == nil; _, busy = old.Used() {
		}
		old.Close()
	})
}

// ended reports whether a session takes no calls any more.
func ended(s *wire.Session) bool { return s.Err() != nil || clock.IsDone(s.Leaving()) }

// retriable reports whether a call that failed may succeed at another node.
func retriable(err error) (e *wire.Error, ok bool) {
	e, ok = errors.AsType[*wire.Error](err)
	return e, ok && (e.Lost() || e.Code == wire.Leaving || e.Code == wire.NotOwner || e.Code == wire.Apart)
}
