package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/wire"
)

const (
	farewellTimeout = 500 * time.Millisecond
	toldMost        = 32 // members that a leaver tells itself
	hastenMost      = 32 // probes of each of them: serf's farewell is two messages, each sent at most 8 times
)

var errLeft = errors.New("this node has left")

// Join unites the clusters of this node and m. The incarnation of m may be 0. If it is
// not, Join dials the address of m even if it knows another process with that name. When
// Join returns nil, both nodes have the state of both: serf's, and the tables (see
// [Host.Sync]).
func (g *Gossip) Join(ctx context.Context, m wire.Member) error {
	if m.Name == g.c.Self.Name {
		return fmt.Errorf("join %s: that is this node", m.Name)
	}
	if !g.host.Valid(m.Name, m.Addr) {
		return fmt.Errorf("join %q at %q: no such node can be", m.Name, m.Addr)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.ctx, cancel)()
	g.mu.Lock()
	if g.table.left {
		g.mu.Unlock()
		return errLeft
	}
	g.joining[m.Name] = m.Addr
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.joining, m.Name)
		g.mu.Unlock()
	}()
	if err := g.reach(ctx, m); err != nil {
		return err
	}
	if err := g.joinSerf(ctx, m.Name); err != nil {
		return err
	}
	if err := g.host.Sync(ctx, g, m); err != nil {
		return fmt.Errorf("compare members with %s: %w", m.Name, err)
	}
	return nil
}

// reach ensures that there is a link on which the peer answers. A link to a former
// process of the peer may seem alive for some seconds.
func (g *Gossip) reach(ctx context.Context, m wire.Member) error {
	addr := ""
	if m.Incarnation != 0 {
		addr = m.Addr
	}
	var err error
	for range maxPeerLinks {
		var l *link
		if l, err = g.transport.connect(ctx, m.Name, addr); err != nil {
			return err
		}
		if err = g.transport.echo(ctx, l); err == nil || ctx.Err() != nil {
			break
		}
		l.close()
	}
	return err
}

// joinSerf makes serf exchange its state with the peer.
func (g *Gossip) joinSerf(ctx context.Context, name string) error {
	done := make(chan error, 1)
	err := g.goDo(func() {
		_, err := g.serf.Join([]string{name + "/" + constantAddr}, true)
		done <- err
	})
	if err != nil {
		return err
	}
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err() // serf takes no context, but it gives up in time
	}
	if err != nil {
		return fmt.Errorf("join %s: %w", name, err)
	}
	return nil
}

// Remove removes the slot of a failed member, on all nodes. If the member comes back, it
// gets a slot again.
func (g *Gossip) Remove(name string) error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return errClosed
	}
	err := g.table.remove(name, time.Now())
	g.mu.Unlock()
	if err != nil {
		return err
	}
	poke(g.changed)
	poke(g.news)
	if err := g.serf.RemoveFailedNode(name); err != nil {
		g.c.Logger.Debug("serf will be late to tell of a removal", "node", name, "why", err)
	}
	return nil
}

// Leave announces to the cluster that this node leaves. It returns when all living members
// know that, which takes some round trips, or when ctx ends, but at most after 0.5 s, or
// 0.8 s with the timing WAN. Peers that it has not reached by then learn of it from other
// members, or from this node until Close.
func (g *Gossip) Leave(ctx context.Context) { g.leaveAt(ctx, true) }

// LeaveTwin is Leave for a node whose name another process has. Serf's farewell names a
// member, not a process, and that one has to refute it. So LeaveTwin leaves the pace to
// gossip, and takes 0.5 s.
func (g *Gossip) LeaveTwin(ctx context.Context) { g.leaveAt(ctx, false) }

func (g *Gossip) leaveAt(ctx context.Context, once bool) {
	g.leave.Do(func() { g.startLeave(once) })
	g.mu.Lock()
	left := g.left
	g.mu.Unlock()
	if left == nil {
		return // closed before
	}
	select {
	case <-left:
	case <-ctx.Done():
	}
}

func (g *Gossip) startLeave(once bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.table.left = true
	var others []wire.Member
	for _, m := range g.table.members(time.Now()) {
		if m.State == wire.Alive && m.Name != g.c.Self.Name {
			others = append(others, m)
		}
	}
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	g.left = make(chan struct{})
	if len(others) == 0 { // serf would wait until the news has spread
		close(g.left)
		return
	}
	g.wg.Go(func() {
		defer close(g.left)
		g.sayFarewell(others, once)
	})
}

// sayFarewell tells the others that this node leaves: serf by gossip, and this node some of
// them itself. Serf may handle the farewell and the death of a leaver in the wrong order,
// or lose the farewell, and then reports a failure. The others pass on what they were told.
// sayFarewell returns when gossip has had time to tell them, or at once when all know it.
func (g *Gossip) sayFarewell(others []wire.Member, once bool) {
	ctx, cancel := context.WithTimeout(context.Background(), farewellTimeout)
	defer cancel()
	spread := make(chan struct{}) // closed when serf's farewell has been sent often enough
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(spread)
		if err := g.serf.Leave(); err != nil {
			g.c.Logger.Debug("serf cannot leave", "why", err)
		}
	})
	told := others[:min(len(others), toldMost)]
	hasten := once && len(told) == len(others)
	if hasten {
		wg.Go(func() { g.hasten(told, spread) })
	}
	if !g.tellFarewell(ctx, told) || !hasten {
		<-ctx.Done()
	}
	wg.Wait()
}

// tellFarewell syncs tables with all members of a list, and reports whether all of them
// know that this node leaves.
func (g *Gossip) tellFarewell(ctx context.Context, list []wire.Member) bool {
	var missed atomic.Bool
	var wg sync.WaitGroup
	for _, m := range list {
		wg.Go(func() {
			if err := g.host.Sync(ctx, g, m); err != nil {
				missed.Store(true)
				g.c.Logger.Debug("cannot tell a member of leaving", "node", m.Name, "why", err)
			}
		})
	}
	wg.Wait()
	return !missed.Load()
}

// hasten probes the members of a list, outside memberlist's schedule, until serf's farewell
// has spread. Each probe carries the gossip that is due.
func (g *Gossip) hasten(list []wire.Member, spread <-chan struct{}) {
	for range hastenMost {
		var wg sync.WaitGroup
		for _, m := range list {
			wg.Go(func() {
				_, _ = g.serf.Memberlist().Ping(m.Name, &net.UDPAddr{IP: constantIP, Port: constantPort})
			})
		}
		wg.Wait()
		select {
		case <-spread:
			return
		default:
		}
	}
}
