package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/distproc/distproc/wire"
)

const (
	tellTimeout = 400 * time.Millisecond
	syncMost    = 32 // members that a leaver syncs with
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

// Leave announces to the cluster that this node leaves. It takes about 0.6 s, or less if
// ctx ends, and no time if no other member lives. Peers that it has not reached by then
// learn of it from other members, or from this node until Close.
func (g *Gossip) Leave(ctx context.Context) {
	g.leave.Do(func() { g.startLeave() })
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

func (g *Gossip) startLeave() {
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
		var wg sync.WaitGroup
		// Serf may handle the farewell and the death of a leaver in the wrong order, or
		// lose the farewell, and then reports a failure. So the leaver syncs with some
		// members itself, and they pass it on.
		wg.Go(func() { g.syncAll(others[:min(len(others), syncMost)]) })
		if err := g.serf.Leave(); err != nil {
			g.c.Logger.Debug("serf cannot leave", "why", err)
		}
		wg.Wait()
	})
}

// tell compares tables with several members at a time.
func (g *Gossip) syncAll(list []wire.Member) {
	ctx, cancel := context.WithTimeout(context.Background(), tellTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range list {
		wg.Go(func() {
			if err := g.host.Sync(ctx, g, m); err != nil {
				g.c.Logger.Debug("cannot tell a member of leaving", "node", m.Name, "why", err)
			}
		})
	}
	wg.Wait()
}
