package registry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// runInline is [Registry.RunInline].
func (c *cache) runInline(
	id worker.ID, trace, links string, deadline, now time.Duration,
) (reply worker.Reply, err error, ran bool) {
	p := c.policy.Load()
	if !p.inline || !c.first() {
		return worker.Reply{}, nil, false
	}
	s := c.shard(id)
	s.mu.Lock()
	w := s.workers.get(id)
	if w.due(now) {
		w = c.renewLocked(s, w, now)
	}
	if w != nil || s.closed || deadline <= now {
		s.mu.Unlock()
		return worker.Reply{}, nil, false
	}
	w = c.addLoadingLocked(s, id, p, inlineLoad, now)
	s.mu.Unlock()
	defer c.wg.Done()
	ctx := c.ctx
	if trace != "" {
		ctx = worker.WithTrace(ctx, trace)
	}
	if links != "" {
		ctx = chain.With(ctx, chain.Cause{Chain: links, Of: worker.Key{Kind: c.name, ID: id}})
	}
	c.callSource(ctx, p.load, id, func(v worker.Value, e *wire.Error) { reply, err = c.finish(s, w, trace, v, e) })
	return reply, err, true
}

// A run is a load that a goroutine is to do.
type run struct {
	c    *cache
	s    *shard
	w    *entry
	late bool // it has waited for its turn
}

// do runs the source, and ends the load with the result.
func (r run) do() {
	defer r.c.wg.Done()
	defer r.c.gate.leave()
	ctx := r.w.load.ctx
	defer ctx.release()
	if r.late && !r.begin() {
		_, _ = r.c.finish(r.s, r.w, ctx.trace, worker.Value{}, errAbandoned)
		return
	}
	if err := r.c.awaitPredecessor(ctx); err != nil {
		_, _ = r.c.finish(r.s, r.w, ctx.trace, worker.Value{}, err)
		return
	}
	r.c.callSource(ctx, r.w.policy.load, r.w.id, func(v worker.Value, err *wire.Error) {
		_, _ = r.c.finish(r.s, r.w, ctx.trace, v, err)
	})
}

// begin starts the time of a run that has waited. It reports whether anybody waits for
// it.
func (r run) begin() bool {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.w.load.abandoned {
		return false
	}
	r.w.started = r.c.Now()
	r.w.load.ctx.postpone(r.c.when(r.w.started + r.w.policy.timeout))
	return true
}

// runners are goroutines for runs. A few idle ones are kept, because a new one has to
// grow its stack again (BenchmarkStartWorker).
type runners struct {
	wg    sync.WaitGroup
	next  chan run
	ended chan struct{} // closed when there will be no more
	idle  atomic.Int32
}

const maxIdleRunners = 16

func newRunners() *runners { return &runners{next: make(chan run), ended: make(chan struct{})} }

// start has a goroutine do r. It does not wait.
func (p *runners) start(r run) {
	select {
	case p.next <- r:
	default:
		p.wg.Go(func() { p.work(r) })
	}
}

func (p *runners) work(r run) {
	for {
		r.do()
		if p.idle.Add(1) > maxIdleRunners {
			p.idle.Add(-1)
			return
		}
		select {
		case r = <-p.next:
			p.idle.Add(-1)
		case <-p.ended:
			return
		}
	}
}
