package members

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// errSelf is the error of joining the node itself.
var errSelf = errors.New("this is the node itself")

// errNotAsked is why there is no other reason: the time was up before the first try.
var errNotAsked = errors.New("it was not asked")

// join tries to join the cluster of the node at a until that succeeds, ctx ends, or it is
// refused for good. It returns errSelf as it is.
func (m *Members) join(ctx context.Context, a placement.Addr) error {
	last, refusals, found := error(nil), 0, a.HostPort()
	for backoff := clock.Redial(); ctx.Err() == nil && m.ctx.Err() == nil; backoff.Sleep(ctx) {
		dial, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := misled(m.joinOnce(dial, &a), found, a)
		cancel()
		if err == nil || errors.Is(err, errSelf) {
			return err
		}
		m.noteRefusal(err)
		if !isRefusal(err) && !errors.Is(err, wire.WrongVersion) {
			refusals = 0
		} else if refusals++; refusals >= maxRefusals && !m.known.wasMember() {
			return fmt.Errorf("cannot join %s: %w", protocol.TargetText(a), err)
		}
		if ctx.Err() == nil && (last == nil || err.Error() != last.Error()) {
			m.Logger.Warn("cannot join, will try again", "node", protocol.TargetText(a), "why", err.Error())
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
	}
	if last == nil {
		last = errNotAsked
	}
	return fmt.Errorf("cannot join %s: %w: %w", protocol.TargetText(a), cmp.Or(ctx.Err(), m.ctx.Err()), last)
}

// joinOnce tries to join the cluster of the node at a. If a has no name yet, joinOnce
// sets it to what the node says.
func (m *Members) joinOnce(ctx context.Context, a *placement.Addr) error {
	if a.Node == "" {
		named, err := protocol.Identify(ctx, *a, m.Creds)
		switch {
		case err != nil:
			return err
		case named.Name == m.Addr.Name:
			return errSelf
		}
		*a = named
		m.known.add([]placement.Addr{named}, true)
	}
	return m.connect(ctx, *a)
}

// ConnectTo joins the cluster of the node that a text names.
func (m *Members) ConnectTo(ctx context.Context, name string) error {
	target, err := protocol.ParseTarget(name)
	if err != nil {
		return err
	}
	a, err := protocol.Identify(ctx, target, m.Creds)
	if err != nil {
		return err
	}
	return misled(m.connect(ctx, a), target.HostPort(), a)
}

// Join joins the cluster of the nodes that these texts name, and goes on until that
// succeeds with one of them, ctx ends, or all refuse this node for good: see Join of
// package node.
func (m *Members) Join(ctx context.Context, names ...string) error {
	all := names
	finders, names, err := m.addSources(names)
	if err != nil {
		return err
	}
	var addrs, unnamed []placement.Addr
	for _, name := range names {
		a, err := protocol.ParseTarget(name)
		if err != nil {
			return err
		}
		switch a.Name {
		case m.Addr.Name:
			m.amongSeeds.Store(true) // all have the same names, and somebody has to be the first
		case placement.Name{Host: a.Host}:
			if at := a.HostPort(); at == m.Addr.HostPort() || at == m.Listen {
				m.amongSeeds.Store(true)
			}
			unnamed = append(unnamed, a)
		default:
			addrs = append(addrs, a)
		}
	}
	m.known.add(addrs, true)
	if addrs = append(addrs, unnamed...); len(addrs)+len(finders) == 0 {
		m.endSeek()
		return ctx.Err()
	}
	m.seek(&m.joinsBy)
	defer m.endSeek()
	m.unjoined.Store(strings.Join(all, ", "))
	defer m.unjoined.Store("")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(addrs)+len(finders))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // before the wait
	for _, a := range addrs {
		wg.Go(func() { results <- m.join(ctx, a) })
	}
	for _, f := range finders {
		wg.Go(func() { results <- m.joinFrom(ctx, f) })
	}
	var why []error
	for range cap(results) {
		err := <-results
		if err == nil {
			return nil
		}
		if !errors.Is(err, errSelf) {
			why = append(why, err)
		}
	}
	if m.ctx.Err() != nil {
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	return errors.Join(why...) // nil if there is only this node itself
}

// AmongSeeds reports whether this node itself is one of those that a Join was told or has
// found: it may be the first of its cluster.
func (m *Members) AmongSeeds() bool { return m.amongSeeds.Load() }

// Unjoined returns which nodes a Join tries to reach for as long as this node, which is not
// one of them, knows no other; or "".
func (m *Members) Unjoined() string {
	names, _ := m.unjoined.Load().(string)
	if names == "" || m.AmongSeeds() || len(m.View().Peers) > 1 {
		return ""
	}
	return "it has not joined the cluster of " + names + " yet"
}

// seekTime is how long servers wait for their node to find its cluster: about what it
// takes to notice that a member is paused.
const seekTime = 3 * time.Second

// seek has AwaitCluster wait for seekTime, or until this node knows another one or by is
// 0.
func (m *Members) seek(by *atomic.Int64) { by.Store(int64(m.Clock.Now() + seekTime)) }

// endSeek ends the wait of AwaitCluster for a Join.
func (m *Members) endSeek() {
	m.joinsBy.Store(0)
	m.wake()
}

// seekLeft returns for how long this node, which knows nobody, may yet find the cluster
// that it is to join. It is 0 if the node knows another one.
func (m *Members) seekLeft() time.Duration {
	m.Clock.Standstills(m.Clock.Now()) // the time in which this process stood still does not count
	if len(m.View().Peers) > 1 {
		return 0
	}
	return max(0, time.Duration(max(m.joinsBy.Load(), m.knownBy.Load()))-m.Clock.Now())
}

func (m *Members) seeking() bool { return m.seekLeft() > 0 }

// AwaitCluster waits while this node is alone and may soon find its cluster, as after a
// restart: the members of its cluster may know it then, and route calls to it. It reports
// false if ctx ends before.
func (m *Members) AwaitCluster(ctx context.Context) bool {
	for {
		changed := m.nextChange() // before the look, so that no change is missed
		left := m.seekLeft()
		if left == 0 || m.outranked.Load() {
			return true
		}
		select {
		case <-changed:
		case <-time.After(left):
		case <-ctx.Done():
			return false
		}
	}
}

// StoodStill begins another term, because this process has stood still. It reports
// whether there is any other member. A node that is still looking for its cluster has as
// much time for that as at its start.
func (m *Members) StoodStill() bool {
	m.making.Lock()
	defer m.making.Unlock()
	v := *m.View()
	if len(v.Peers) == 1 {
		for _, by := range []*atomic.Int64{&m.joinsBy, &m.knownBy} {
			if by.Load() != 0 {
				m.seek(by)
			}
		}
		return false
	}
	v.Term++
	m.view.Store(&v)
	m.Logger.Warn("the process stood still; servers are claimed again")
	return true
}

// connect joins the cluster of the node at a.
func (m *Members) connect(ctx context.Context, a placement.Addr) error {
	if a.Name == m.Addr.Name {
		return nil
	}
	err := m.currentGossip().Join(ctx, wire.Member{Name: a.Name.String(), Addr: a.HostPort()})
	if err != nil {
		if e, ok := errors.AsType[*wire.Error](err); ok {
			return e
		}
		return wire.Errorf(wire.Unreachable, wire.NotRun, "%v", err)
	}
	m.outranked.Store(false)
	m.refresh()
	return nil
}

// dialLink is how gossip reaches a node.
func (m *Members) dialLink(ctx context.Context, w wire.Member) (gossip.Link, error) {
	h := m.Hello()
	h.Role = wire.RoleLink
	l, err := wire.DialLink(ctx, w.Addr, m.Creds, h)
	if err != nil {
		return nil, err
	}
	switch theirs := l.Peer(); {
	case theirs.Name == h.Name:
		err = wire.Errorf(wire.NameTaken, wire.NotRun, "%s is the node at %s", h.Name, theirs.Addr)
	case theirs.Name != w.Name:
		err = peers.OtherAnswers(w.Addr, theirs.Name, w.Name)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	m.met(l.Peer())
	return l, nil
}

// met compares members with a member that has started anew: it may know nobody, and
// answers pings as if it were the former process.
func (m *Members) met(h wire.Hello) {
	name, err := placement.ParseName(h.Name)
	v := m.View()
	if err != nil || v == nil {
		return
	}
	p := v.Peer(name)
	if p == nil || p.Self || m.pool.Slot(p).Incarnation >= h.Incarnation {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended && !m.detaching {
		m.wg.Go(func() {
			if err := m.sync(m.ctx, v.gossip, p); err != nil {
				m.Logger.Debug("cannot compare members with a node that has started anew", "node", h.Name, "why", err)
			}
		})
	}
}
