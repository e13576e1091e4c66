package gossip

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/distproc/distproc/wire"
)

const (
	syncTimeout  = 2 * time.Second
	confirmMost  = 2  // suspects that are confirmed at a time
	confirmScale = 32 // with more slots, suspects are confirmed less often

	meetMost   = 8                      // members, on average, that sync tables with one that is back
	meetPause  = 100 * time.Millisecond // before the second attempt; doubled before each later one
	meetGiveUp = 2 * time.Second        // longest pause
)

// drain handles serf's events. It must not block or call serf, because serf sends events
// with its lock held.
func (g *Gossip) drain() {
	for {
		select {
		case e := <-g.events:
			g.handle(e)
		case <-g.stopped:
			for { // serf may still send buffered events
				select {
				case <-g.events:
				default:
					return
				}
			}
		}
	}
}

// handle handles one event.
func (g *Gossip) handle(e serf.Event) {
	members, ok := e.(serf.MemberEvent)
	if !ok {
		return
	}
	changed := false
	var back []wire.Member
	now := time.Now()
	g.mu.Lock()
	for _, sm := range members.Members {
		m, err := fromTags(sm.Tags)
		if err != nil {
			continue // the doorkeeper admits none
		}
		m.Name = sm.Name
		switch members.Type {
		case serf.EventMemberJoin, serf.EventMemberUpdate:
			isBack, news := g.table.isBack(m), g.table.alive(m, now)
			if isBack && news {
				back = append(back, m)
			}
			changed = changed || news
		case serf.EventMemberFailed:
			changed = g.table.failed(m, now) || changed
		case serf.EventMemberLeave:
			changed = g.table.leave(m, now) || changed
		}
	}
	slots := g.table.slots
	g.mu.Unlock()
	if changed {
		poke(g.changed)
	}
	for _, m := range back {
		if rand.N(max(slots, 1)) < meetMost {
			_ = g.goDo(func() { g.meet(m) }) // it fails if this node is closed
		}
	}
}

// meet syncs tables with a member that is back. It may have restarted without knowing any
// member: its memberlist refutes its death, but does not learn of other members by that.
func (g *Gossip) meet(m wire.Member) {
	for pause := meetPause; ; pause *= 2 {
		ctx, cancel := context.WithTimeout(g.ctx, syncTimeout)
		err := g.host.Sync(ctx, g, m)
		cancel()
		if err == nil || g.ctx.Err() != nil {
			return
		}
		if pause > meetGiveUp {
			g.c.Logger.Debug("cannot compare members with one that is back", "node", m.Name, "why", err)
			return
		}
		sleep(g.ctx, pause) // a session to its former process may still live
	}
}

// notify calls Changed.
func (g *Gossip) notify() {
	for {
		select {
		case <-g.changed:
			g.host.Changed()
		case <-g.ctx.Done():
			return
		}
	}
}

// rival schedules a call of Conflict.
func (g *Gossip) rival(m wire.Member) {
	select {
	case g.conflicts <- m:
	default:
	}
}

// warn calls Conflict.
func (g *Gossip) warn() {
	for {
		select {
		case m := <-g.conflicts:
			g.host.Conflict(m)
		case <-g.ctx.Done():
			return
		}
		sleep(g.ctx, time.Second)
	}
}

// maintain updates the table as time passes.
func (g *Gossip) maintain() {
	ticker := time.NewTicker(g.pace.tick)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			g.mu.Lock()
			changed := g.table.tick(now)
			g.mu.Unlock()
			if changed {
				poke(g.changed)
			}
		case <-g.ctx.Done():
			return
		}
	}
}

// confirm makes memberlist join members that are alive only by a peer's report, and
// members that have just failed. Gossip reaches all members only with a high probability.
// A node that misses a join or a refutation would learn of it late, but other members
// know, so after a failure confirm also syncs with one of them. It does the same when a
// peer reports that this node is gone: a peer that believes so sends no gossip that this
// node could refute.
func (g *Gossip) confirm() {
	last := time.Now()
	for g.ctx.Err() == nil {
		g.mu.Lock()
		slots := g.table.slots
		g.mu.Unlock()
		sleep(g.ctx, g.pace.tick*time.Duration(1+slots/confirmScale)) // the cost grows with the number of slots
		now := time.Now()
		g.mu.Lock()
		names := g.table.suspects(now.Add(-g.pace.tick), now.Add(-g.pace.unconfirmed))
		ask := len(g.table.suspects(time.Time{}, last)) > 0 || g.table.suspected.After(last)
		g.mu.Unlock()
		names = names[:min(len(names), confirmMost)]
		if m, ok := g.anyAlive(); ok && ask {
			names = append(names, m.Name)
		}
		last = now
		var wg sync.WaitGroup
		for _, name := range names {
			wg.Go(func() {
				if _, err := g.serf.Memberlist().Join([]string{name + "/" + constantAddr}); err != nil {
					g.c.Logger.Debug("cannot meet a member in doubt", "node", name, "why", err)
				}
			})
		}
		wg.Wait()
	}
}

// syncNow syncs tables with a random member from time to time, and soon again after news,
// which other members may lack as well.
func (g *Gossip) syncNow() {
	for {
		timer := time.NewTimer(g.pace.sync + rand.N(g.pace.sync))
		select {
		case <-timer.C:
		case <-g.news:
			sleep(g.ctx, g.pace.news/2+rand.N(g.pace.news))
		case <-g.ctx.Done():
		}
		timer.Stop()
		if g.ctx.Err() != nil {
			return
		}
		m, ok := g.anyAlive()
		if !ok {
			continue
		}
		ctx, cancel := context.WithTimeout(g.ctx, syncTimeout)
		if err := g.host.Sync(ctx, g, m); err != nil {
			g.c.Logger.Debug("cannot compare members", "node", m.Name, "why", err)
		}
		cancel()
	}
}

// anyAlive returns a random live member other than this node. It returns false if there
// is none or this node has left.
func (g *Gossip) anyAlive() (wire.Member, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table.left {
		return wire.Member{}, false
	}
	for name, e := range g.table.entries { // in no particular order
		if e.state == wire.Alive {
			return e.member(name, time.Now()), true
		}
	}
	return wire.Member{}, false
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
