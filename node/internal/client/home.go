package client

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

const (
	attachTime = time.Second     // to attach to another node, or to find out that the first one is back
	homeEvery  = 2 * time.Second // between two attempts to go back
	linger     = time.Second     // that a session without calls is kept, for one that was about to be made
)

// attach dials a node, whichever is there if a has no name.
func (c *Client) attach(ctx context.Context, a placement.Addr, at string) (*wire.Session, error) {
	s, err := wire.Dial(ctx, at, c.Creds, protocol.ClientHello(), protocol.Refuser{})
	if err != nil {
		return nil, err
	}
	if got := s.Peer().Name; a.Node != "" && got != a.Name.String() {
		s.Close()
		return nil, peers.OtherAnswers(at, got, a.Name.String())
	}
	return s, nil
}

// stayAttached sees to it that the client is attached to a node, until the client is
// closed. It goes back to the first one, which is dialled at that address, when that is a
// member again: it is the node that the client was told to attach to.
func (c *Client) stayAttached(first string) {
	for {
		s := c.home.Load()
		var back <-chan time.Time
		leaving := s.Leaving()
		if c.Stay {
			leaving = nil // until the session ends
		}
		if s.Peer().Name != c.Addr.Name.String() {
			back = time.After(homeEvery/2 + rand.N(homeEvery))
		}
		select {
		case <-s.Done():
			c.Logger.Warn("node down; the client moves to another one", "node", s.Peer().Name, "why", s.Err())
			c.move(s, first)
		case <-leaving:
			c.Logger.Info("node leaves; the client moves to another one", "node", s.Peer().Name)
			c.move(s, first)
		case <-back:
			c.goBack(s, first)
		case <-c.ctx.Done():
			s.Close()
			return
		}
	}
}

// move replaces a session that has ended, or is about to. It tries the first home, and
// then the members in any order, until one lets the client in or the client is closed.
func (c *Client) move(old *wire.Session, first string) {
	backoff := clock.Redial()
	for {
		for i, a := range append([]placement.Addr{c.Addr}, c.others()...) {
			if c.ctx.Err() != nil {
				return
			}
			at := a.HostPort()
			if i == 0 {
				at = first
			}
			ctx, cancel := context.WithTimeout(c.ctx, attachTime)
			s, err := c.attach(ctx, a, at)
			cancel()
			if err == nil {
				c.replace(old, s)
				return
			}
		}
		if !backoff.Sleep(c.ctx) {
			return
		}
	}
}

// others returns the members to which the client may move, in any order: all but the
// first home.
func (c *Client) others() (list []placement.Addr) {
	if c.Stay {
		return nil
	}
	for _, p := range c.view.Load().Peers {
		w := c.pool.Slot(p)
		if a, err := placement.AddrOf(p.Name, w.Addr); err == nil && p.Name != c.Addr.Name {
			list = append(list, a)
		}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// goBack returns to the first node if that is a member of the cluster again. After a
// restart it is alone for a moment, and would answer for ids of others.
func (c *Client) goBack(old *wire.Session, first string) {
	ctx, cancel := context.WithTimeout(c.ctx, attachTime)
	defer cancel()
	s, err := c.attach(ctx, c.Addr, first)
	if err != nil {
		return
	}
	var v protocol.View
	err = s.Do(ctx, protocol.OpView, nil, protocol.BoundedView(&v))
	if err != nil || !slices.ContainsFunc(v.Members, func(w wire.Member) bool { return w.Name == old.Peer().Name }) {
		s.Close()
		return
	}
	c.replace(old, s)
}

// replace makes s the session to home. The old one ends when its calls have.
func (c *Client) replace(old, s *wire.Session) {
	c.home.Store(s)
	c.Logger.Info("node up", "node", s.Peer().Name)
	c.markStale()
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
