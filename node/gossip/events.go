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
	exchangeTimeout = 2 * time.Second
	confirmMost     = 2  // doubts that are looked into at a time
	confirmScale    = 32 // seats from which on they are looked into less often

	meetMost   = 8                      // members, on average, that compare tables with one that is back
	meetPause  = 100 * time.Millisecond // before the second attempt; doubled before each later one
	meetGiveUp = 2 * time.Second        // longest pause
)

// drain takes in serf's events. It never waits and calls nothing of serf's: serf sends events with its lock
// held.
func (g *Gossip) drain() {
	for {
		select {
		case e := <-g.events:
			g.handle(e)
		case <-g.stopped:
			for { // serf may be about to send those that it has buffered
				select {
				case <-g.events:
				default:
					return
				}
			}
		}
	}
}

// handle takes in one event.
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
			continue // the doorkeeper lets none in
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
	seats := g.table.seats
	g.mu.Unlock()
	if changed {
		poke(g.changed)
	}
	for _, m := range back {
		if rand.N(max(seats, 1)) < meetMost {
			_ = g.goDo(func() { g.meet(m) }) // it fails if this node is closed
		}
	}
}

// meet compares tables with a member that is back. It may have started anew and know nobody:
// memberlist there refutes that it is dead, and hears of no other member by that.
func (g *Gossip) meet(m wire.Member) {
	for pause := meetPause; ; pause *= 2 {
		ctx, cancel := context.WithTimeout(g.ctx, exchangeTimeout)
		err := g.c.Exchange(ctx, g, m)
		cancel()
		if err == nil || g.ctx.Err() != nil {
			return
		}
		if pause > meetGiveUp {
			g.c.Logger.Debug("cannot compare members with one that is back", "node", m.Name, "why", err)
			return
		}
		sleep(g.ctx, pause) // a session to its former start may not have ended yet
	}
}

// notify calls Changed.
func (g *Gossip) notify() {
	for {
		select {
		case <-g.changed:
			g.c.Changed()
		case <-g.ctx.Done():
			return
		}
	}
}

// rival has Conflict called, if there is one.
func (g *Gossip) rival(m wire.Member) {
	if g.c.Conflict == nil {
		return
	}
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
			g.c.Conflict(m)
		case <-g.ctx.Done():
			return
		}
		sleep(g.ctx, time.Second)
	}
}

// maintain does what is due in the table.
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

// confirm has memberlist meet those who are alive only because a peer says so, and those who have just
// failed. Its gossip reaches all members with a high probability, not for sure: then somebody does not hear
// that one has joined, or has refuted a suspicion, and would find out late. Another member knows, so after a
// failure one is asked, too. So it is when a peer takes this node for gone: if it thinks that it has left, and not
// another process of its name, it sends it no gossip that could be refuted.
func (g *Gossip) confirm() {
	last := time.Now()
	for g.ctx.Err() == nil {
		g.mu.Lock()
		seats := g.table.seats
		g.mu.Unlock()
		sleep(g.ctx, g.pace.tick*time.Duration(1+seats/confirmScale)) // the more there are, the more it costs
		now := time.Now()
		g.mu.Lock()
		names := g.table.doubtful(now.Add(-g.pace.tick), now.Add(-g.pace.rumour))
		ask := len(g.table.doubtful(time.Time{}, last)) > 0 || g.table.doubted.After(last)
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

// exchangeNow compares tables with a random member now and then, and soon again if there was news, which
// others may not have heard either.
func (g *Gossip) exchangeNow() {
	for {
		timer := time.NewTimer(g.pace.exchange + rand.N(g.pace.exchange))
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
		ctx, cancel := context.WithTimeout(g.ctx, exchangeTimeout)
		if err := g.c.Exchange(ctx, g, m); err != nil {
			g.c.Logger.Debug("cannot compare members", "node", m.Name, "why", err)
		}
		cancel()
	}
}

// anyAlive returns a random living member, if there is one besides this node and it has not left.
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

// sleep waits, unless ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
