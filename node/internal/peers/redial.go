package peers

import (
	"errors"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/wire"
)

// loseLocked notes that p cannot be reached, and reports whether that is news.
func (pool *Pool) loseLocked(p *Peer, why error) (news bool) {
	if news = !p.lost.Swap(true); news {
		p.turn()
	}
	pool.noteLocked(p, why.Error())
	if p.alive {
		pool.startRedialingLocked(p)
	}
	return news
}

func (pool *Pool) startRedialingLocked(p *Peer) {
	if !p.redialing && !pool.ended {
		p.redialing = true
		pool.wg.Go(func() { pool.redial(p) })
	}
}

// redialLocked ends the pause between two dials.
func (p *Peer) redialLocked() {
	select {
	case p.again <- struct{}{}:
	default:
	}
}

// redial dials p until that succeeds, or the cluster cannot reach it either.
func (pool *Pool) redial(p *Peer) {
	last := ""
	backoff := clock.Redial()
	for {
		select {
		case <-time.After(backoff.Next()):
		case <-p.again:
			backoff.Reset()
			backoff.Next() // which was now
		case <-pool.ctx.Done():
			return
		}
		pool.mu.Lock()
		if !p.alive || !p.lost.Load() || pool.ended {
			p.redialing = false
			pool.mu.Unlock()
			return
		}
		pool.mu.Unlock()
		_, err := pool.Dial(pool.ctx, p)
		if err != nil && !errors.Is(err, wire.Unreachable) && err.Error() != last && pool.ctx.Err() == nil {
			last = err.Error()
			pool.Logger.Warn("cannot connect, will try again", "node", p.Name.String(), "why", last)
		}
	}
}
