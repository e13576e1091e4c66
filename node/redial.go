package node

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/distproc/distproc/wire"
)

// loseLocked notes that p cannot be reached, and reports whether that is news.
func (s *sessions) loseLocked(p *peer, why error) (news bool) {
	news = !p.lost.Swap(true)
	s.noteLocked(p, why.Error())
	if p.alive {
		s.startRedialingLocked(p)
	}
	return news
}

func (s *sessions) startRedialingLocked(p *peer) {
	if !p.redialing && !s.ended {
		p.redialing = true
		s.wg.Go(func() { s.redial(p) })
	}
}

// redialLocked ends the pause between two dials.
func (p *peer) redialLocked() {
	select {
	case p.again <- struct{}{}:
	default:
	}
}

// redial dials p until that succeeds, or the cluster cannot reach it either.
func (s *sessions) redial(p *peer) {
	last := ""
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		select {
		case <-time.After(retry/2 + rand.N(retry)):
		case <-p.again:
			retry = firstRetry
		case <-s.ctx.Done():
			return
		}
		s.mu.Lock()
		if !p.alive || !p.lost.Load() || s.ended {
			p.redialing = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		_, err := s.dial(s.ctx, p)
		if err != nil && !errors.Is(err, wire.Unreachable) && err.Error() != last && s.ctx.Err() == nil {
			last = err.Error()
			s.log.Warn("cannot connect, will try again", "node", p.name.String(), "why", last)
		}
	}
}
