package node

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// retire takes ws out of use on both sides, and closes it when its calls have ended.
func (s *sessions) retire(p *peer, ws *wire.Session) {
	p.session.CompareAndSwap(ws, nil)
	ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
	_ = ws.Do(ctx, opRetire, nil, nil) // who cannot be told has lost it
	cancel()
	for quiet, before := false, uint64(0); !quiet && clock.Sleep(s.ctx, linger) && ws.Err() == nil; {
		used, busy := ws.Used()
		quiet, before = !busy && used == before, used // for a while, as the peer may just be making a call
	}
	ws.Flush()
	ws.Close()
}

// retired takes ws out of use, as its peer has done.
func (s *sessions) retired(ws *wire.Session) {
	name, err := placement.ParseName(ws.Peer().Name)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.peers[name]; p != nil {
		p.session.CompareAndSwap(ws, nil)
	}
}

// closeIdle retires the sessions on which nothing has been asked for long.
func (s *sessions) closeIdle() {
	ticker := time.NewTicker(idleAfter / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return
		}
		s.retireIdle()
	}
}

// retireIdle retires the sessions on which nothing has been asked since it was last called.
func (s *sessions) retireIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		ws := p.session.Load()
		if ws == nil || s.ended {
			continue
		}
		used, busy := ws.Used()
		if !busy && used == p.used {
			s.wg.Go(func() { s.retire(p, ws) })
		}
		p.used = used
	}
}
