package node

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/wire"
)

// health is what the calls to a peer tell of it. A peer whose workers are stuck may answer every ping. It is taken
// for stuck when calls for more than one id, one after the other over some time, all ran into their deadlines and it
// answered none in between: one slow source is not a stuck peer. From then on calls fail over at once, and once a second
// one of them is asked there all the same, by nobody who waits, until one is answered.
type health struct {
	missing atomic.Bool // calls have gone unanswered since the last answer
	stuck   atomic.Bool
	last    atomic.Pointer[wire.Request] // that was missed, or failed over: the next to be tried

	mu     sync.Mutex
	misses int       // guarded by mu
	since  time.Time // of the first miss; guarded by mu
	first  ID        // of it; guarded by mu
	others bool      // another id was missed, too; guarded by mu
}

const (
	stuckMisses = 5
	stuckAfter  = 2 * time.Second
	trialEvery  = time.Second
)

// answered notes a sign of life.
func (h *health) answered() {
	if h.missing.Load() {
		h.reset()
	}
}

func (h *health) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.misses, h.others = 0, false
	h.missing.Store(false)
	h.stuck.Store(false)
}

// missed notes that a call for id ran into its deadline, and reports whether the peer is stuck from now on.
func (h *health) missed(id ID, now time.Time) (stuck bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.missing.Store(true)
	if h.misses == 0 {
		h.since, h.first = now, id
	}
	h.misses++
	h.others = h.others || id != h.first
	if h.misses < stuckMisses || !h.others || now.Sub(h.since) < stuckAfter {
		return false
	}
	return h.stuck.CompareAndSwap(false, true)
}

// judge learns from what became of a call.
func (s *sessions) judge(p *peer, ws *wire.Session, request *wire.Request, err error) {
	e, ok := err.(*wire.Error) //nolint:errorlint // a session's errors are not wrapped
	switch {
	case err == nil:
		p.health.answered()
	case ok && request.IsCall && e.Code == wire.DeadlineExceeded: // a server may have much to do, and nothing is tried twice
	case ok && e.Code == wire.DeadlineExceeded && e.Outcome == wire.Unknown: // an owner's own would say that it ran, or not
		id, err := idOf(request)
		if err != nil || ws != p.session.Load() || !p.health.missed(id, time.Now()) {
			return
		}
		s.log.Warn("node stuck: it answers pings but no calls", "node", p.name.String())
		p.health.tryNext(request)
		s.mu.Lock()
		if !s.ended {
			s.wg.Go(func() { s.try(p, ws) })
		}
		s.mu.Unlock()
		s.moved()
	case ok && (e.Code == wire.Canceled || lostOnTheWay(e)): // tells nothing
	default:
		p.health.answered()
	}
}

// tryNext has that call tried next.
func (h *health) tryNext(request *wire.Request) {
	r := *request
	h.last.Store(&r)
}

// try asks a stuck peer for what failed over, now and then, until it answers or the session is not in use any more.
func (s *sessions) try(p *peer, ws *wire.Session) {
	for p.health.stuck.Load() && sleep(s.ctx, trialEvery) {
		if p.session.Load() != ws {
			p.health.reset() // what it is worth shows on the next session
			break
		}
		request := p.health.last.Load()
		_, err := ws.Call(s.ctx, request, s.patience(request.Kind))
		s.judge(p, ws, request, err)
	}
	if s.ctx.Err() == nil {
		s.log.Info("node answers again", "node", p.name.String())
		s.moved()
	}
}
