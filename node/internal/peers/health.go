package peers

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// health is what the calls of one kind to a peer tell of it. A peer whose workers are
// stuck may answer every ping. It is taken for stuck when calls for more than one id, one
// after the other over some time, all ran into their deadlines and it answered none in
// between: one slow source is not a stuck peer, and nor is it stuck for the other kinds.
// From then on calls of the kind fail over at once, and once a second one of them is
// asked there all the same, by nobody who waits, until one is answered.
type health struct {
	stuck atomic.Bool
	last  atomic.Pointer[wire.Request] // that was missed, or failed over: the next to be tried

	mu     sync.Mutex
	misses int       // guarded by mu
	since  time.Time // of the first miss; guarded by mu
	first  target    // of it; guarded by mu
	others bool      // another id was missed, too; guarded by mu
}

// healths are those of a peer.
type healths struct {
	doubt atomic.Bool // calls of some kind have gone unanswered since the last answer

	mu    sync.Mutex
	kinds map[string]*health // guarded by mu
}

// A target is the id of a request, as it crosses the wire.
type target struct {
	num  int64
	text string
}

// maxHealths is how many kinds are told apart. Names come from clients, too.
const maxHealths = 1000

// of returns the health of a kind.
func (hs *healths) of(kind string) *health {
	kind = cmp.Or(kind, worker.DefaultKind)
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.kinds[kind]
	if h == nil && len(hs.kinds) >= maxHealths {
		kind = ""
		h = hs.kinds[kind]
	}
	if h == nil {
		h = &health{}
		if hs.kinds == nil {
			hs.kinds = map[string]*health{}
		}
		hs.kinds[kind] = h
	}
	return h
}

// stuck reports whether the peer is stuck as far as a kind is concerned.
func (hs *healths) stuck(kind string) bool { return hs.doubt.Load() && hs.of(kind).stuck.Load() }

// anyStuck reports whether it is for some kind.
func (hs *healths) anyStuck() bool {
	if !hs.doubt.Load() {
		return false
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, h := range hs.kinds {
		if h.stuck.Load() {
			return true
		}
	}
	return false
}

// answered notes a sign of life.
func (hs *healths) answered(kind string) {
	if !hs.doubt.Load() {
		return
	}
	hs.of(kind).reset()
	hs.mu.Lock()
	defer hs.mu.Unlock()
	doubt := false
	for _, h := range hs.kinds {
		doubt = doubt || h.doubtful()
	}
	hs.doubt.Store(doubt)
}

// missed notes that a call ran into its deadline, and reports whether the peer is stuck
// from now on.
func (hs *healths) missed(kind string, id target, now time.Time) (h *health, stuck bool) {
	h = hs.of(kind)
	stuck = h.missed(id, now)
	hs.mu.Lock() // answered may have looked before
	defer hs.mu.Unlock()
	hs.doubt.Store(true)
	return h, stuck
}

// reset forgets all: what the peer is worth shows on a new session.
func (hs *healths) reset() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, h := range hs.kinds {
		h.reset()
	}
	hs.doubt.Store(false)
}

const (
	stuckMisses = 5
	stuckAfter  = 2 * time.Second
)

func (h *health) doubtful() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.misses > 0
}

func (h *health) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.misses, h.others = 0, false
	h.stuck.Store(false)
}

// missed notes that a call for id ran into its deadline, and reports whether the peer is
// stuck from now on.
func (h *health) missed(id target, now time.Time) (stuck bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
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

// RecordResult learns from a call to p on a session that failed with err.
func (pool *Pool) RecordResult(p *Peer, ws *wire.Session, request *wire.Request, err error) {
	e, ok := err.(*wire.Error) //nolint:errorlint // a session's errors are not wrapped
	switch {
	case ok && request.IsCall && e.Code == wire.DeadlineExceeded: // a server may have much to do, and nothing is tried twice
	case ok && e.Code == wire.DeadlineExceeded && e.GaveUp: // also if it says now that the call still waited there
		if ws != p.session.Load() {
			return
		}
		h, stuck := p.health.missed(request.Kind, target{request.Num, request.Text}, time.Now())
		if !stuck {
			return
		}
		pool.Logger.Warn("node stuck: it answers pings but no calls", "node", p.Name.String(), "kind", cmp.Or(request.Kind, worker.DefaultKind))
		p.turn()
		h.probeNext(request)
		pool.mu.Lock()
		if !pool.ended {
			pool.wg.Go(func() { pool.probe(p, h, ws) })
		}
		pool.mu.Unlock()
		pool.host.Changed()
	case ok && e.Code == wire.DeadlineExceeded && e.Outcome == wire.NotRun: // perhaps it was never sent
	case ok && (e.GaveUp || e.Code == wire.Canceled || e.Lost()): // tells nothing
	default:
		p.health.answered(request.Kind)
	}
}

// probeNext has that call tried next.
func (h *health) probeNext(request *wire.Request) {
	r := *request
	h.last.Store(&r)
}

// probe asks a peer that is stuck for what failed over, now and then, until it answers or
// the session is not in use any more.
func (pool *Pool) probe(p *Peer, h *health, ws *wire.Session) {
	for h.stuck.Load() && clock.Sleep(pool.ctx, pool.trialEvery) {
		if p.session.Load() != ws {
			h.reset() // what it is worth shows on the next session
			break
		}
		request := h.last.Load()
		var reply wire.Reply
		if err := ws.Call(pool.ctx, request, pool.host.CallTimeout(request.Kind), &reply); err != nil {
			pool.RecordResult(p, ws, request, err)
		} else {
			p.health.answered(request.Kind)
		}
	}
	if pool.ctx.Err() == nil {
		p.turn()
		pool.Logger.Info("node answers again", "node", p.Name.String())
		pool.host.Changed()
	}
}
