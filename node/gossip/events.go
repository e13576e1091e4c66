package gossip

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/distproc/distproc/wire"
)

const (
	tagAddr        = "addr"
	tagIncarnation = "inc"

	exchangeTimeout = 2 * time.Second
	confirmMost     = 4 // rumours that are looked into at a time
)

// memberOf reads what serf knows of a member. The tags of one that is no node of this program may be missing.
func memberOf(m serf.Member) wire.Member {
	incarnation, err := strconv.ParseUint(m.Tags[tagIncarnation], 10, 64)
	if err != nil {
		return wire.Member{Name: m.Name} // not valid, for want of an address
	}
	return wire.Member{Name: m.Name, Addr: m.Tags[tagAddr], Incarnation: incarnation}
}

// drain takes in serf's events. It never waits and calls nothing of serf's: serf sends events with its lock held.
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

func (g *Gossip) handle(e serf.Event) {
	members, ok := e.(serf.MemberEvent)
	if !ok {
		return
	}
	changed := false
	now := time.Now()
	g.mu.Lock()
	for _, sm := range members.Members {
		m := memberOf(sm)
		switch members.Type {
		case serf.EventMemberJoin, serf.EventMemberUpdate:
			changed = g.table.alive(m, now) || changed
			if m.Addr != "" {
				g.book[m.Name] = m.Addr
			}
		case serf.EventMemberFailed:
			changed = g.table.failed(m, now) || changed
		case serf.EventMemberLeave:
			changed = g.table.leave(m, now) || changed
			delete(g.book, m.Name)
		case serf.EventMemberReap:
			delete(g.book, m.Name)
		}
	}
	g.mu.Unlock()
	if changed {
		poke(g.changed)
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

// confirm has memberlist meet those who are alive only because a peer says so. Its gossip reaches all with a high
// probability, not for sure, and what it misses it makes up for late. Who cannot be met has failed soon.
func (g *Gossip) confirm() {
	for g.ctx.Err() == nil {
		sleep(g.ctx, g.pace.tick)
		g.mu.Lock()
		rumours := g.table.rumours(time.Now().Add(-g.pace.tick))
		g.mu.Unlock()
		var wg sync.WaitGroup
		for _, name := range rumours[:min(len(rumours), confirmMost)] {
			wg.Go(func() {
				if _, err := g.serf.Memberlist().Join([]string{name + "/" + constantAddr}); err != nil {
					g.c.Logger.Debug("cannot meet a member that others know", "node", name, "why", err)
				}
			})
		}
		wg.Wait()
	}
}

// exchangeNow compares tables with a random member now and then, and soon again if there was news, which others may
// not have heard either.
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
		if err := g.c.Exchange(ctx, m); err != nil {
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
