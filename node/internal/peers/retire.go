package peers

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// Retire takes ws out of use on both sides, and closes it when its calls have ended.
func (pool *Pool) Retire(p *Peer, ws *wire.Session) {
	p.session.CompareAndSwap(ws, nil)
	ctx, cancel := context.WithTimeout(pool.ctx, dialTimeout)
	_ = ws.Do(ctx, pool.RetireOp, nil, nil) // who cannot be told has lost it
	cancel()
	for quiet, before := false, uint64(0); !quiet && clock.Sleep(pool.ctx, pool.linger) && ws.Err() == nil; {
		used, busy := ws.Used()
		quiet, before = !busy && used == before, used // for a while, as the peer may just be making a call
	}
	ws.Flush()
	ws.Close()
}

// Retired takes ws out of use, as its peer has done.
func (pool *Pool) Retired(ws *wire.Session) {
	name, err := placement.ParseName(ws.Peer().Name)
	if err != nil {
		return
	}
	pool.mu.Lock()
	defer pool.mu.Unlock()
	if p := pool.peers[name]; p != nil {
		p.session.CompareAndSwap(ws, nil)
	}
}

// closeIdle retires the sessions on which nothing has been asked for long.
func (pool *Pool) closeIdle() {
	ticker := time.NewTicker(idleAfter / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-pool.ctx.Done():
			return
		}
		pool.RetireIdle()
	}
}

// RetireIdle retires the sessions on which nothing has been asked since it was last
// called.
func (pool *Pool) RetireIdle() {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	for _, p := range pool.peers {
		ws := p.session.Load()
		if ws == nil || pool.ended {
			continue
		}
		used, busy := ws.Used()
		if !busy && used == p.used {
			pool.wg.Go(func() { pool.Retire(p, ws) })
		}
		p.used = used
	}
}
